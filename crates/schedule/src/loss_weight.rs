//! How much the loss of a noise level counts in training.

use std::fmt;
use std::str::FromStr;

use crate::{Level, ScheduleError};

/// The weight of `|eps - eps_theta|^2` at a level, as a function of its signal-to-noise ratio `SNR = alpha^2 / sigma^2`.
///
/// The squared error of `x_0` is that of eps divided by SNR, and that of v is that of `x_0` times SNR + 1: a weight means the
/// same whatever the network puts out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossWeight {
    /// 1: L_simple (Ho et al. 2020, Eq. 14).
    #[default]
    Simple,
    /// `min(SNR, 5) / SNR`: the squared error of `x_0`, times SNR up to 5 (Min-SNR-gamma, Hang et al. 2023, Sec. 3.4). Levels of
    /// little noise, which have the largest weight otherwise, pull less.
    MinSnr,
    /// `1 / (1 + SNR)` (P2, Choi et al. 2022, Eq. 8 with k = 1 and gamma = 1): more weight to levels of much noise.
    P2,
}

/// gamma of Min-SNR, which its authors found best.
const MIN_SNR_GAMMA: f64 = 5.0;

impl LossWeight {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["simple", "min-snr", "p2"];

    /// The weight's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::MinSnr => "min-snr",
            Self::P2 => "p2",
        }
    }

    /// The weight of the squared error of eps at a level, in (0, 1]; 0 only for the data themselves.
    ///
    /// ```
    /// use schedule::{LossWeight, Schedule};
    /// let schedule = Schedule::ddpm();
    /// // SNR is 4.04e-5 at the last step, and 9999 at the first.
    /// assert_eq!(LossWeight::MinSnr.of_eps(&schedule.level_at(999.0)?), 1.0);
    /// assert!((LossWeight::MinSnr.of_eps(&schedule.level_at(0.0)?) - 5.0 / 9999.0).abs() < 1e-9);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn of_eps(self, level: &Level) -> f64 {
        let snr = level.ratio().powi(-2);
        match self {
            Self::Simple => 1.0,
            Self::MinSnr => (MIN_SNR_GAMMA / snr).min(1.0),
            Self::P2 => 1.0 / (1.0 + snr),
        }
    }
}

impl FromStr for LossWeight {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        [Self::Simple, Self::MinSnr, Self::P2].into_iter().find(|weight| weight.name() == name).ok_or_else(
            || ScheduleError::UnknownName {
                what: "loss weight",
                got: name.to_owned(),
                expected: Self::NAMES,
            },
        )
    }
}

impl fmt::Display for LossWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Prediction, Schedule};

    #[test]
    fn names_come_back() {
        for name in LossWeight::NAMES {
            assert_eq!(name.parse::<LossWeight>().unwrap().to_string(), *name);
        }
        let error = "snr".parse::<LossWeight>().unwrap_err().to_string();
        assert_eq!(error, "unknown loss weight \"snr\", expected one of: simple, min-snr, p2");
    }

    /// The forms that the papers write, for the error of what the network puts out.
    #[test]
    fn weights_are_those_of_the_papers_for_every_output() {
        let schedule = Schedule::ddpm();
        for t in [0_u32, 100, 400, 700, 999] {
            let level = schedule.level_at(f64::from(t)).unwrap();
            let snr = schedule.snr()[t as usize];
            for prediction in [Prediction::Eps, Prediction::X0, Prediction::V] {
                // An error d of the output is one of d times this of eps.
                let (_, of_output) = prediction.eps_weights_at(&level);
                let of_output = of_output.powi(2);
                let min_snr = match prediction {
                    Prediction::Eps => snr.min(5.0) / snr,
                    Prediction::X0 => snr.min(5.0),
                    Prediction::V => snr.min(5.0) / (snr + 1.0),
                };
                let got = LossWeight::MinSnr.of_eps(&level) * of_output;
                assert!((got / min_snr - 1.0).abs() < 1e-9, "{prediction}, t = {t}: {got} is not {min_snr}");
            }
            assert!((LossWeight::P2.of_eps(&level) - 1.0 / (1.0 + snr)).abs() < 1e-12);
            assert_eq!(LossWeight::Simple.of_eps(&level), 1.0);
        }
    }

    #[test]
    fn the_ends_have_finite_weights() {
        let noise = Level { t: 999.0, alpha: 0.0, sigma: 1.0 };
        assert!(
            LossWeight::NAMES.iter().all(|name| name.parse::<LossWeight>().unwrap().of_eps(&noise) == 1.0)
        );
        assert_eq!(LossWeight::P2.of_eps(&Level::DATA), 0.0);
    }
}
