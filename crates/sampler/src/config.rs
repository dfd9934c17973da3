//! Which solver, how many steps, and what the network predicts.

use std::fmt;
use std::str::FromStr;

use schedule::{Prediction, Schedule, Spacing, Variance};

use crate::error::SamplerError;

/// The solver, with its own parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Ancestral sampling, Algorithm 2 (Ho et al. 2020).
    Ddpm {
        /// `sigma_t^2`.
        variance: Variance,
    },
    /// Denoising diffusion implicit models (Song et al. 2021).
    Ddim {
        /// Scale of the noise: 0 is deterministic, 1 is DDPM with [`Variance::FixedSmall`].
        eta: f64,
    },
}

impl Method {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["ddpm", "ddim"];

    /// The solver's name, whatever its parameters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ddpm { .. } => "ddpm",
            Self::Ddim { .. } => "ddim",
        }
    }
}

/// `ddpm` is [`Variance::FixedSmall`], the choice that also does well in short chains; over all 1000 steps
/// [`Variance::FixedLarge`] did better on CIFAR-10 (Song et al. 2021, Table 1, rows eta = 1 and sigma-hat).
/// `ddim` is eta = 0.
impl FromStr for Method {
    type Err = SamplerError;

    fn from_str(name: &str) -> Result<Self, SamplerError> {
        match name {
            "ddpm" => Ok(Self::Ddpm { variance: Variance::FixedSmall }),
            "ddim" => Ok(Self::Ddim { eta: 0.0 }),
            _ => Err(SamplerError::UnknownName {
                what: "sampler",
                got: name.to_owned(),
                expected: Self::NAMES,
            }),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Everything a [`crate::Sampler`] is made from, besides the schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerConfig {
    /// The solver.
    pub method: Method,
    /// Network calls from pure noise to an image, in `1..=T`; `None` is all T.
    pub steps: Option<usize>,
    /// Which of the T steps a shorter chain keeps.
    pub spacing: Spacing,
    /// Keep the predicted `x_0` in [-1, 1], the range of images, at every step.
    pub clip_x_0: bool,
    /// What the network was trained to predict.
    pub prediction: Prediction,
}

impl SamplerConfig {
    /// The whole chain, `x_0` clipped, for a network that predicts eps. A shorter chain is spaced
    /// [`Spacing::Trailing`], so that it starts at T - 1, where `x_t` is pure noise.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self { method, steps: None, spacing: Spacing::Trailing, clip_x_0: true, prediction: Prediction::Eps }
    }

    /// Checks all values against the schedule that the network was trained on.
    ///
    /// # Errors
    /// [`SamplerError::Steps`] and [`SamplerError::Eta`].
    ///
    /// ```
    /// use sampler::{Method, SamplerConfig};
    /// let mut config = SamplerConfig::new(Method::Ddim { eta: 0.0 });
    /// config.steps = Some(0);
    /// let error = config.validate(&schedule::Schedule::ddpm()).unwrap_err();
    /// assert!(error.to_string().starts_with("steps = 0: expected 1 to 1000"));
    /// ```
    pub fn validate(&self, schedule: &Schedule) -> Result<(), SamplerError> {
        let timesteps = schedule.steps();
        match self.steps {
            Some(got) if !(1..=timesteps).contains(&got) => {
                return Err(SamplerError::Steps { timesteps, got });
            }
            _ => {}
        }
        match self.method {
            // NaN is in no range.
            Method::Ddim { eta } if !(0.0..=1.0).contains(&eta) => Err(SamplerError::Eta { got: eta }),
            Method::Ddim { .. } | Method::Ddpm { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in Method::NAMES {
            assert_eq!(name.parse::<Method>().unwrap().to_string(), *name);
        }
        let error = "euler".parse::<Method>().unwrap_err();
        assert_eq!(error.to_string(), "unknown sampler \"euler\", expected one of: ddpm, ddim");
    }

    #[test]
    fn values_out_of_range() {
        let schedule = Schedule::ddpm();
        let ddim = |eta| SamplerConfig::new(Method::Ddim { eta });
        for got in [0, 1001, usize::MAX] {
            let config = SamplerConfig { steps: Some(got), ..ddim(0.0) };
            let error = config.validate(&schedule).unwrap_err();
            assert!(matches!(error, SamplerError::Steps { timesteps: 1000, got: g } if g == got));
        }
        for eta in [-0.1, 1.0 + 1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = ddim(eta).validate(&schedule).unwrap_err();
            assert!(matches!(error, SamplerError::Eta { got } if got.total_cmp(&eta).is_eq()));
        }
        for (steps, eta) in [(None, 0.0), (Some(1), 1.0), (Some(1000), 0.5)] {
            SamplerConfig { steps, ..ddim(eta) }.validate(&schedule).unwrap();
        }
    }
}
