//! From what a network puts out to `x_0` and `eps`: weighted sums of `x_t` and the output, with weights that
//! depend on t alone.

use std::fmt;
use std::str::FromStr;

use crate::{Level, Schedule, ScheduleError};

/// What a network puts out for `x_t` and t.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prediction {
    /// The noise in `x_t` (Ho et al. 2020, Sec. 3.2).
    Eps,
    /// The data itself.
    X0,
    /// `v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0` (Salimans & Ho 2022).
    V,
}

impl Prediction {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["eps", "x_0", "v"];

    /// The prediction's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eps => "eps",
            Self::X0 => "x_0",
            Self::V => "v",
        }
    }

    /// The weights of `x_t` and of the output in `x_0`, at t in `0..T` of the schedule.
    ///
    /// eps is Eq. 15 of Ho et al. 2020; x_0 and v also work where no signal is left (`alpha_bar_t = 0`).
    ///
    /// # Errors
    /// [`ScheduleError::NoSignal`] for eps where `alpha_bar_t` is 0, [`ScheduleError::Timestep`].
    ///
    /// ```
    /// use schedule::{Prediction, Schedule};
    /// let (from_x_t, from_output) = Prediction::V.x_0_weights(&Schedule::ddpm(), 0)?;
    /// assert!((from_x_t.powi(2) + from_output.powi(2) - 1.0).abs() < 1e-12);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn x_0_weights(self, schedule: &Schedule, t: usize) -> Result<(f64, f64), ScheduleError> {
        let (signal, noise) = levels(schedule, t)?;
        self.x_0_weights_at(&Level { t: t as f64, alpha: signal, sigma: noise })
    }

    /// The weights of `x_t` and of the output in `x_0` at a noise level, which may lie between steps.
    ///
    /// # Errors
    /// [`ScheduleError::NoSignal`] for eps where no signal is left.
    pub fn x_0_weights_at(self, level: &Level) -> Result<(f64, f64), ScheduleError> {
        let Level { t, alpha, sigma } = *level;
        match self {
            Self::Eps if alpha == 0.0 => Err(ScheduleError::NoSignal { t: t as usize }),
            Self::Eps => Ok((1.0 / alpha, -sigma / alpha)),
            Self::X0 => Ok((0.0, 1.0)),
            Self::V => Ok((alpha, -sigma)),
        }
    }

    /// The weights of `x_t` and of the output in `eps`, at t in `0..T` of the schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Timestep`].
    pub fn eps_weights(self, schedule: &Schedule, t: usize) -> Result<(f64, f64), ScheduleError> {
        let (signal, noise) = levels(schedule, t)?;
        Ok(self.eps_weights_at(&Level { t: t as f64, alpha: signal, sigma: noise }))
    }

    /// The weights of `x_t` and of the output in `eps` at a noise level, which may lie between steps; not finite for x_0 at
    /// a level without noise, which no step of a schedule has.
    #[must_use]
    pub fn eps_weights_at(self, level: &Level) -> (f64, f64) {
        let Level { alpha, sigma, .. } = *level;
        match self {
            Self::Eps => (0.0, 1.0),
            Self::X0 => (1.0 / sigma, -alpha / sigma),
            Self::V => (sigma, alpha),
        }
    }
}

/// `sqrt(alpha_bar_t)` and `sqrt(1 - alpha_bar_t)`.
fn levels(schedule: &Schedule, t: usize) -> Result<(f64, f64), ScheduleError> {
    match (schedule.sqrt_alpha_bars().get(t), schedule.sqrt_one_minus_alpha_bars().get(t)) {
        (Some(&signal), Some(&noise)) => Ok((signal, noise)),
        _ => Err(ScheduleError::Timestep { got: t, steps: schedule.steps() }),
    }
}

impl FromStr for Prediction {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        match name {
            "eps" => Ok(Self::Eps),
            "x_0" => Ok(Self::X0),
            "v" => Ok(Self::V),
            _ => Err(ScheduleError::UnknownName {
                what: "prediction",
                got: name.to_owned(),
                expected: Self::NAMES,
            }),
        }
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_back() {
        for name in Prediction::NAMES {
            assert_eq!(name.parse::<Prediction>().unwrap().to_string(), *name);
        }
        let error = "noise".parse::<Prediction>().unwrap_err();
        assert_eq!(error.to_string(), "unknown prediction \"noise\", expected one of: eps, x_0, v");
    }

    #[test]
    fn without_signal_eps_alone_is_refused() {
        let schedule = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        let weights = |prediction: Prediction| prediction.x_0_weights(&schedule, 999);
        assert_eq!(weights(Prediction::Eps), Err(ScheduleError::NoSignal { t: 999 }));
        assert_eq!(weights(Prediction::X0), Ok((0.0, 1.0)));
        assert_eq!(weights(Prediction::V), Ok((0.0, -1.0)));
        assert!(Prediction::Eps.x_0_weights(&schedule, 998).is_ok());
        assert!(matches!(
            Prediction::V.eps_weights(&schedule, 1000),
            Err(ScheduleError::Timestep { got: 1000, .. })
        ));
    }

    proptest! {
        /// Each prediction of a known pair (x_0, eps) gives that pair back.
        #[test]
        fn x_0_and_eps_come_back(x_0 in -1.0_f64..1.0, eps in -4.0_f64..4.0, t in 0_usize..1000) {
            let schedule = Schedule::ddpm();
            let (signal, noise) = (schedule.sqrt_alpha_bars()[t], schedule.sqrt_one_minus_alpha_bars()[t]);
            let x_t = signal * x_0 + noise * eps;
            for (prediction, output) in [
                (Prediction::Eps, eps),
                (Prediction::X0, x_0),
                (Prediction::V, signal * eps - noise * x_0),
            ] {
                let (w_t, w_out) = prediction.x_0_weights(&schedule, t).unwrap();
                // Eps divides by sqrt(alpha_bar) >= 0.006.
                prop_assert!((w_t * x_t + w_out * output - x_0).abs() < 1e-12, "{}", prediction);
                let (w_t, w_out) = prediction.eps_weights(&schedule, t).unwrap();
                // X0 divides by sqrt(beta_0) = 0.01.
                prop_assert!((w_t * x_t + w_out * output - eps).abs() < 1e-12, "{}", prediction);
            }
        }
    }
}
