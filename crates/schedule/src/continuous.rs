//! Paths without steps: alpha and sigma as functions of a continuous time.

use std::f64::consts::FRAC_PI_2;

use crate::beta::check_steps;
use crate::names::named;
use crate::path::{NoisePath, check_share};
use crate::{Level, ScheduleError};

/// Limits on sigma. Beyond them f32 loses either the image or the noise in their sum.
const LARGEST_SIGMA: f64 = 1e6;
const LEAST_SIGMA: f64 = 1e-6;

/// The formulas of a path without steps. Time runs from -1 (data) to T - 1; `s = (t + 1) / T` is the share of the
/// way.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Continuous {
    /// `alpha = cos(pi s / 2)`, `sigma = sin(pi s / 2)`: the limit of the cosine schedule without its offset (Salimans & Ho
    /// 2022, Sec. 2). It ends in pure noise.
    Cosine,
    /// `alpha = 1`, and `ln sigma` rises evenly from t = 0 to T - 1 (Karras et al. 2022, "EDM", whose network takes
    /// `ln(sigma) / 4` as its time).
    Edm {
        /// sigma at t = 0, above 0.
        sigma_min: f64,
        /// sigma at t = T - 1, above `sigma_min`.
        sigma_max: f64,
    },
    /// `alpha = 1 - s`, `sigma = s`: flow matching with straight conditional paths (Lipman et al. 2023, Liu et al.
    /// 2023). Here time runs from data to noise. The path ends in pure noise.
    Straight,
}

named!(Continuous, "continuous path":
    "cosine-continuous" => Cosine,
    "edm" => Edm { sigma_min: 0.002, sigma_max: 80.0 },
    "straight" => Straight,
);

impl Continuous {
    /// The level at time `t` of a path of `steps` parts.
    fn at(self, t: f64, steps: f64) -> Level {
        let share = (t + 1.0) / steps;
        match self {
            // In f64 cos(pi / 2) is 6e-17, not 0.
            Self::Cosine if share >= 1.0 => Level { t, alpha: 0.0, sigma: 1.0 },
            Self::Cosine => {
                let (sigma, alpha) = (FRAC_PI_2 * share).sin_cos();
                Level { t, alpha, sigma }
            }
            Self::Edm { sigma_min, sigma_max } => {
                let sigma = sigma_min * (sigma_max / sigma_min).powf(t / (steps - 1.0));
                Level { t, alpha: 1.0, sigma }
            }
            Self::Straight => Level { t, alpha: 1.0 - share, sigma: share },
        }
    }

    /// The level with a noise-to-signal ratio, on a path of `steps` parts.
    fn of_ratio(self, ratio: f64, steps: f64) -> Level {
        match self {
            Self::Cosine => Level::of_ratio(ratio.atan() / FRAC_PI_2 * steps - 1.0, ratio),
            Self::Edm { sigma_min, sigma_max } => {
                let place = (ratio / sigma_min).ln() / (sigma_max / sigma_min).ln();
                Level { t: place.clamp(0.0, 1.0) * (steps - 1.0), alpha: 1.0, sigma: ratio }
            }
            Self::Straight => {
                let share = ratio / (1.0 + ratio);
                Level { t: share * steps - 1.0, alpha: 1.0 - share, sigma: share }
            }
        }
    }

    fn validate(self) -> Result<(), ScheduleError> {
        match self {
            Self::Cosine | Self::Straight => Ok(()),
            Self::Edm { sigma_min, sigma_max } => {
                let check = |name, expected, got: f64, low| {
                    let good = got > low && got <= LARGEST_SIGMA;
                    if good { Ok(()) } else { Err(ScheduleError::Parameter { name, expected, got }) }
                };
                check("sigma_min", "(1e-6, 1e6]", sigma_min, LEAST_SIGMA)?;
                check("sigma_max", "(sigma_min, 1e6]", sigma_max, sigma_min)
            }
        }
    }
}

/// A path without steps. Its time is counted in T parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContinuousPath {
    kind: Continuous,
    steps: usize,
}

impl ContinuousPath {
    /// Makes a path of T parts; a sampler takes at most T steps on it.
    ///
    /// # Errors
    /// [`ScheduleError::Steps`]; [`ScheduleError::Parameter`] for parameters out of range.
    ///
    /// ```
    /// use schedule::{Continuous, ContinuousPath, NoisePath};
    /// let path = ContinuousPath::new(Continuous::Cosine, 1000)?;
    /// let middle = path.level_at(499.0)?;
    /// assert!((middle.alpha - middle.sigma).abs() < 1e-12);
    /// assert_eq!(path.noisiest()?.alpha, 0.0);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn new(kind: Continuous, steps: usize) -> Result<Self, ScheduleError> {
        check_steps(steps)?;
        kind.validate()?;
        Ok(Self { kind, steps })
    }
}

impl NoisePath for ContinuousPath {
    fn steps(&self) -> usize {
        self.steps
    }

    fn is_discrete(&self) -> bool {
        false
    }

    fn level_at(&self, t: f64) -> Result<Level, ScheduleError> {
        let last = self.steps - 1;
        if (0.0..=last as f64).contains(&t) {
            Ok(self.kind.at(t, self.steps as f64))
        } else {
            Err(ScheduleError::Time { last, got: t })
        }
    }

    fn level_of_ratio(&self, ratio: f64) -> Result<Level, ScheduleError> {
        if ratio > 0.0 && ratio.is_finite() {
            Ok(self.kind.of_ratio(ratio, self.steps as f64))
        } else {
            Err(ScheduleError::Parameter { name: "sigma / alpha", expected: "(0, inf)", got: ratio })
        }
    }

    fn level_of_share(&self, share: f64) -> Result<Level, ScheduleError> {
        Ok(self.kind.at(check_share(share)? * self.steps as f64 - 1.0, self.steps as f64))
    }

    fn boxed(&self) -> Box<dyn NoisePath> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths() -> impl Iterator<Item = (Continuous, ContinuousPath)> {
        Continuous::NAMES.iter().map(|name| {
            let kind = name.parse().unwrap();
            (kind, ContinuousPath::new(kind, 1000).unwrap())
        })
    }

    #[test]
    fn the_ends_are_noise_and_nearly_data() {
        for (kind, path) in paths() {
            let (noise, data) = (path.noisiest().unwrap(), path.level_at(0.0).unwrap());
            assert!(
                noise.ratio() >= 80.0 && data.ratio() < 0.01 && data.sigma > 0.0,
                "{kind}: {noise:?} {data:?}"
            );
            for got in [-0.1, 999.1, f64::NAN] {
                assert!(
                    matches!(path.level_at(got), Err(ScheduleError::Time { last: 999, .. })),
                    "{kind}: {got}"
                );
            }
            assert!(path.level_of_ratio(0.0).is_err() && path.level_of_share(1.0).is_err());
            assert!(ContinuousPath::new(kind, 1).is_err());
        }
    }

    /// The cosine schedule of a long chain approaches the continuous one.
    #[test]
    fn the_cosine_is_the_limit_of_the_chain_of_that_name() {
        let path = ContinuousPath::new(Continuous::Cosine, 4000).unwrap();
        let kind = crate::BetaSchedule::Cosine { s: 0.0, max_beta: 0.999 };
        let chain = crate::Schedule::new(&kind, 4000).unwrap();
        for t in [0.0, 100.0, 2000.0, 3900.0, 3990.0] {
            let (a, b) = (path.level_at(t).unwrap(), chain.level_at(t).unwrap());
            assert!(
                (a.alpha - b.alpha).abs() < 1e-9 && (a.sigma - b.sigma).abs() < 1e-9,
                "t = {t}: {a:?} {b:?}"
            );
        }
    }

    /// Karras et al. 2022, Table 1.
    #[test]
    fn edm_runs_evenly_in_the_logarithm_of_sigma() {
        let path = ContinuousPath::new("edm".parse().unwrap(), 1000).unwrap();
        let sigma = |t: f64| path.level_at(t).unwrap().sigma;
        assert!((sigma(0.0) - 0.002).abs() < 1e-15 && (sigma(999.0) - 80.0).abs() < 1e-12);
        assert!((sigma(499.5) - (0.002_f64 * 80.0).sqrt()).abs() < 1e-12);
        // A sigma beyond the ends is kept.
        let beyond = path.level_of_ratio(100.0).unwrap();
        assert_eq!((beyond.t, beyond.alpha, beyond.sigma), (999.0, 1.0, 100.0));
        for (sigma_min, sigma_max) in
            [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.1, f64::INFINITY)]
        {
            let wrong = ContinuousPath::new(Continuous::Edm { sigma_min, sigma_max }, 10);
            assert!(matches!(wrong, Err(ScheduleError::Parameter { .. })), "{sigma_min} {sigma_max}");
        }
    }

    #[test]
    fn the_straight_path_goes_from_the_data_to_noise_at_an_even_pace() {
        let path = ContinuousPath::new(Continuous::Straight, 1000).unwrap();
        for (t, sigma) in [(0.0, 0.001), (499.0, 0.5), (999.0, 1.0)] {
            let level = path.level_at(t).unwrap();
            assert!(
                (level.sigma - sigma).abs() < 1e-15 && (level.alpha - (1.0 - sigma)).abs() < 1e-15,
                "{level:?}"
            );
        }
        assert_eq!(path.noisiest().unwrap().alpha, 0.0);
    }

    proptest! {
        #[test]
        fn time_share_and_ratio_name_the_same_level(share in 0.002_f64..0.99) {
            for (kind, path) in paths() {
                let level = path.level_of_share(share).unwrap();
                prop_assert!((level.t + 1.0 - share * 1000.0).abs() < 1e-9, "{kind}");
                prop_assert!(path.level_at(level.t.max(0.0)).unwrap().ratio() >= level.ratio() * (1.0 - 1e-12));
                let back = path.level_of_ratio(level.ratio()).unwrap();
                prop_assert!((back.t - level.t).abs() < 1e-6, "{kind}: {back:?} {level:?}");
                prop_assert!((back.alpha - level.alpha).abs() < 1e-9 && (back.sigma / level.sigma - 1.0).abs() < 1e-9);
                // The noise rises with time.
                let later = path.level_of_share(share + 0.005).unwrap();
                prop_assert!(later.ratio() > level.ratio(), "{kind}");
            }
        }
    }
}
