//! A kind of beta schedule with its parameters, and the presets known by name.

use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::{ScheduleError, beta};

/// How the betas run over the chain. The parameters are those of the function of the same name in
/// [`beta`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum BetaSchedule {
    /// [`beta::linear`].
    Linear {
        /// beta at t = 0, in (0, 1).
        beta_start: f64,
        /// beta at t = T - 1, in (0, 1).
        beta_end: f64,
    },
    /// [`beta::scaled_linear`].
    ScaledLinear {
        /// beta at t = 0, in (0, 1).
        beta_start: f64,
        /// beta at t = T - 1, in (0, 1).
        beta_end: f64,
    },
    /// [`beta::cosine`].
    Cosine {
        /// Offset of the cosine, in [0, 1).
        s: f64,
        /// Upper bound of beta, in (0, 1).
        max_beta: f64,
    },
    /// [`beta::sigmoid`].
    Sigmoid {
        /// Lower limit of beta, in (0, 1).
        beta_start: f64,
        /// Upper limit of beta, in (0, 1).
        beta_end: f64,
    },
    /// [`beta::constant`].
    Constant {
        /// beta at every t, in (0, 1).
        beta: f64,
    },
}

impl BetaSchedule {
    /// The names that [`BetaSchedule::from_name`] knows.
    pub const NAMES: &[&str] = &["linear", "scaled-linear", "cosine", "sigmoid", "constant"];

    /// The schedule of a name, with its usual parameters for T = 1000:
    ///
    /// | name | parameters | from |
    /// |---|---|---|
    /// | `linear` | 1e-4 to 0.02 | Ho et al. 2020, Sec. 4 |
    /// | `scaled-linear` | 0.00085 to 0.012 | Stable Diffusion |
    /// | `cosine` | s = 0.008, at most 0.999 | Nichol & Dhariwal 2021, Sec. 3.2 |
    /// | `sigmoid` | 1e-4 to 0.02 | the range of `linear` |
    /// | `constant` | 0.01 | as little signal left at T = 1000 as with `linear` |
    ///
    /// # Errors
    /// [`ScheduleError::UnknownName`], which lists the valid ones.
    ///
    /// ```
    /// use schedule::BetaSchedule;
    /// let linear = BetaSchedule::from_name("linear")?;
    /// assert_eq!(linear, BetaSchedule::Linear { beta_start: 1e-4, beta_end: 0.02 });
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn from_name(name: &str) -> Result<Self, ScheduleError> {
        match name {
            "linear" => Ok(Self::Linear { beta_start: 1e-4, beta_end: 0.02 }),
            "scaled-linear" => Ok(Self::ScaledLinear { beta_start: 0.00085, beta_end: 0.012 }),
            "cosine" => Ok(Self::Cosine { s: 0.008, max_beta: 0.999 }),
            "sigmoid" => Ok(Self::Sigmoid { beta_start: 1e-4, beta_end: 0.02 }),
            "constant" => Ok(Self::Constant { beta: 0.01 }),
            _ => Err(ScheduleError::UnknownName {
                what: "beta schedule",
                got: name.to_owned(),
                expected: Self::NAMES,
            }),
        }
    }

    /// The kind's name, whatever its parameters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::ScaledLinear { .. } => "scaled-linear",
            Self::Cosine { .. } => "cosine",
            Self::Sigmoid { .. } => "sigmoid",
            Self::Constant { .. } => "constant",
        }
    }

    /// The betas of a chain of `steps` steps, shape `[steps]`, in (0, 1).
    ///
    /// # Errors
    /// Those of the function of the same name in [`beta`].
    pub fn betas(&self, steps: usize) -> Result<Array1<f64>, ScheduleError> {
        match *self {
            Self::Linear { beta_start, beta_end } => beta::linear(steps, beta_start, beta_end),
            Self::ScaledLinear { beta_start, beta_end } => beta::scaled_linear(steps, beta_start, beta_end),
            Self::Cosine { s, max_beta } => beta::cosine(steps, s, max_beta),
            Self::Sigmoid { beta_start, beta_end } => beta::sigmoid(steps, beta_start, beta_end),
            Self::Constant { beta } => beta::constant(steps, beta),
        }
    }
}

impl FromStr for BetaSchedule {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        Self::from_name(name)
    }
}

/// The kind's name.
impl fmt::Display for BetaSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;

    #[test]
    fn every_name_makes_a_schedule_and_comes_back() {
        for name in BetaSchedule::NAMES {
            let kind: BetaSchedule = name.parse().unwrap();
            assert_eq!(kind.to_string(), *name);
            // The presets leave little signal at T = 1000: an SNR below 0.005.
            let last = Schedule::new(&kind, 1000).unwrap().snr()[999];
            assert!(last < 0.005, "{name}: {last}");
        }
    }

    #[test]
    fn unknown_name_lists_the_valid_ones() {
        let error = BetaSchedule::from_name("linaer").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown beta schedule \"linaer\", expected one of: linear, scaled-linear, cosine, sigmoid, constant"
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let kind = BetaSchedule::Linear { beta_start: 0.1, beta_end: f64::NAN };
        assert!(matches!(kind.betas(10), Err(ScheduleError::Parameter { name: "beta_end", .. })));
        assert_eq!(BetaSchedule::Constant { beta: 0.5 }.betas(1), Err(ScheduleError::Steps { got: 1 }));
    }
}
