//! A kind of beta schedule with its parameters, and the presets known by name.

use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::{ScheduleError, beta};

/// The chain length for which [`BetaSchedule::from_name`] has parameters.
const USUAL_STEPS: usize = 1000;

/// How beta depends on t. The parameters are those of the function of the same name in [`beta`].
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

    /// Returns a named schedule with its usual parameters for T = 1000:
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

    /// Returns a named schedule with its usual parameters for a chain of `steps` steps. For 1000 steps these are
    /// exactly those of [`BetaSchedule::from_name`]; for other lengths they are scaled.
    ///
    /// A step of such a chain replaces `1000 / steps` steps of the usual one. It keeps as much of the signal as these
    /// keep together: `1 - beta' = (1 - beta)^(1000 / steps)`. For small betas this scales Ho et al.'s range by
    /// `1000 / steps`. For short chains, where plain scaling would exceed 1, beta stays below 1. So every chain ends
    /// in noise, see [`Schedule::ends_in_noise`](crate::Schedule::ends_in_noise). The cosine is a function of `t / T`
    /// and needs no scaling.
    ///
    /// # Errors
    /// [`ScheduleError::UnknownName`]; [`ScheduleError::Steps`] for a length out of range.
    ///
    /// ```
    /// use schedule::{BetaSchedule, Schedule};
    /// let short = BetaSchedule::usual("linear", 100)?;
    /// assert!(matches!(short, BetaSchedule::Linear { beta_end, .. } if (beta_end - 0.183).abs() < 1e-3));
    /// assert!(Schedule::new(&short, 100)?.ends_in_noise());
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn usual(name: &str, steps: usize) -> Result<Self, ScheduleError> {
        let mut kind = Self::from_name(name)?;
        beta::check_steps(steps)?;
        if steps == USUAL_STEPS {
            return Ok(kind);
        }
        let exponent = USUAL_STEPS as f64 / steps as f64;
        // 1 - (1 - beta)^exponent, without the cancellation that would lose the small betas of long chains.
        let scale = |beta: &mut f64| *beta = -(exponent * (-*beta).ln_1p()).exp_m1();
        match &mut kind {
            Self::Linear { beta_start, beta_end }
            | Self::ScaledLinear { beta_start, beta_end }
            | Self::Sigmoid { beta_start, beta_end } => {
                scale(beta_start);
                scale(beta_end);
            }
            Self::Constant { beta } => scale(beta),
            Self::Cosine { .. } => {}
        }
        Ok(kind)
    }

    /// The kind's name, without its parameters.
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
    fn usual_parameters_end_in_noise_at_any_length() {
        for name in BetaSchedule::NAMES {
            assert_eq!(BetaSchedule::usual(name, 1000), BetaSchedule::from_name(name));
            for steps in [2, 3, 4, 5, 7, 10, 20, 37, 50, 100, 250, 500, 999, 1001, 4000, 100_000, 1_000_000] {
                let schedule = Schedule::new(&BetaSchedule::usual(name, steps).unwrap(), steps).unwrap();
                let left = schedule.terminal_signal();
                assert!(schedule.ends_in_noise() && left > 0.0, "{name}, T = {steps}: {left}");
                // Enough is left for f32. Only max_beta keeps the cosine from ending at 0, so its end falls with the
                // length.
                let least = if *name == "cosine" { 1e-15 } else { 1e-12 };
                assert!(left > least, "{name}, T = {steps}: {left}");
            }
            assert!(matches!(BetaSchedule::usual(name, 1), Err(ScheduleError::Steps { got: 1 })));
        }
        assert!(BetaSchedule::usual("linaer", 100).is_err());
    }

    /// Chains of all lengths approximate one continuous process; 4000 steps sample it more finely than 1000.
    #[test]
    fn a_chain_of_another_length_is_the_same_process() {
        for name in BetaSchedule::NAMES {
            let chain = |steps| Schedule::new(&BetaSchedule::usual(name, steps).unwrap(), steps).unwrap();
            let (usual, long) = (chain(1000), chain(4000));
            for t in [0, 10, 100, 500, 900, 990] {
                let (a, b) = (usual.alpha_bars()[t].ln(), long.alpha_bars()[4 * t + 3].ln());
                assert!((a - b).abs() < 0.01 * a.abs() + 2e-3, "{name}, t = {t}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_short_chain_with_the_betas_of_a_long_one_does_not_end_in_noise() {
        let schedule = Schedule::new(&BetaSchedule::from_name("linear").unwrap(), 100).unwrap();
        assert!((schedule.terminal_signal() - 0.364).abs() < 1e-3 && !schedule.ends_in_noise());
        assert!(Schedule::ddpm().ends_in_noise());
        assert!(Schedule::ddpm().with_zero_terminal_snr().unwrap().ends_in_noise());
        // A respaced chain that omits the noisiest steps.
        let short = Schedule::ddpm().respace(&[0, 200, 400]).unwrap().schedule;
        assert!(!short.ends_in_noise());
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
