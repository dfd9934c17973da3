//! Which solver, how many steps, and what the network predicts.

use schedule::{NoisePath, Prediction, Spacing, Variance};

use crate::error::SamplerError;
use crate::method::Method;
use crate::threshold::Threshold;
use crate::times::{End, Times};

/// Everything a [`crate::Sampler`] is made from, besides the path.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerConfig {
    /// The solver.
    pub method: Method,
    /// Steps from pure noise to an image, in `1..=T`. `None` means all T, or as many as there are given times. Most
    /// solvers call the network once a step.
    pub steps: Option<usize>,
    /// Which levels a shorter chain passes through.
    pub times: Times,
    /// Where the chain ends.
    pub end: End,
    /// What happens to a predicted `x_0` that leaves [-1, 1], the range of images.
    pub threshold: Threshold,
    /// Whether a step continues with the network's own eps even where `x_0` was bounded, as DDIM does in other
    /// libraries. Otherwise eps is recomputed from `x_t` and the bounded `x_0`.
    pub keeps_eps: bool,
    /// Whether [`crate::Sampler::start_from`] gives x_T the deviation of its level, `sqrt(1 - alpha_bar_T)`, instead
    /// of 1, as Euler and Heun do in other libraries. The two differ by the signal that the schedule leaves.
    pub scales_start: bool,
    /// What the network was trained to predict.
    pub prediction: Prediction,
    /// Whether the network also predicts the variance of each pixel, in a second half of channels (Nichol & Dhariwal
    /// 2021). Solvers other than [`Method::DdpmLearned`] ignore that half.
    pub learned_variance: bool,
}

/// Algorithm 2 of Ho et al. 2020: `ddpm` with [`Variance::FixedSmall`], in all T steps, with `x_0` clipped, for a network
/// that predicts eps. For images in 15 steps use [`SamplerConfig::new`] with `dpmpp-2m`, for example.
impl Default for SamplerConfig {
    fn default() -> Self {
        Self::new(Method::Ddpm { variance: Variance::FixedSmall })
    }
}

impl SamplerConfig {
    /// The whole chain, `x_0` clipped, for a network that predicts eps. A shorter chain is spaced
    /// [`Spacing::Trailing`], so that it starts at T - 1, where `x_t` is pure noise.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            steps: None,
            times: Times::Spaced(Spacing::Trailing),
            end: End::Data,
            threshold: Threshold::Clip,
            keeps_eps: false,
            scales_start: false,
            prediction: Prediction::Eps,
            learned_variance: false,
        }
    }

    /// Checks all values against the path that the network was trained on.
    ///
    /// # Errors
    /// [`SamplerError::Steps`] and those of the method's own parameters.
    ///
    /// ```
    /// use sampler::{Method, SamplerConfig};
    /// let mut config = SamplerConfig::new(Method::Ddim { eta: 0.0 });
    /// config.steps = Some(0);
    /// let error = config.validate(&schedule::Schedule::ddpm()).unwrap_err();
    /// assert!(error.to_string().starts_with("steps = 0: expected 1 to 1000"));
    /// ```
    pub fn validate(&self, path: &dyn NoisePath) -> Result<(), SamplerError> {
        let timesteps = path.steps();
        match self.steps {
            Some(got) if !(1..=timesteps).contains(&got) => {
                return Err(SamplerError::Steps { timesteps, got });
            }
            _ => {}
        }
        self.times.validate()?;
        self.threshold.validate()?;
        self.method.validate()
    }

    /// The steps of the whole chain.
    pub(crate) fn whole_steps(&self, path: &dyn NoisePath) -> usize {
        match &self.times {
            Times::Given(times) => times.len(),
            Times::Levels(levels) => levels.len(),
            _ => self.steps.unwrap_or(path.steps()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    #[test]
    fn the_default_is_algorithm_2() {
        let (config, schedule) = (SamplerConfig::default(), Schedule::ddpm());
        assert_eq!(config, SamplerConfig::new("ddpm".parse().unwrap()));
        config.validate(&schedule).unwrap();
        let sampler = crate::Sampler::new(&schedule, &config).unwrap();
        assert_eq!((sampler.steps(), sampler.calls()), (1000, 1000));
        assert!(sampler.timesteps().eq((0..1000_i32).rev().map(f64::from)));
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
        assert!(ddim(1.5).validate(&schedule).is_err());
        for rho in [0.5, f64::NAN, f64::INFINITY] {
            let config = SamplerConfig { times: Times::Karras { rho, whole: true }, ..ddim(0.0) };
            assert!(matches!(config.validate(&schedule), Err(SamplerError::Value { what: "rho", .. })));
        }
        let dynamic = Threshold::Dynamic { quantile: 2.0, max: 1.0 };
        assert!(SamplerConfig { threshold: dynamic, ..ddim(0.0) }.validate(&schedule).is_err());
        for (steps, eta) in [(None, 0.0), (Some(1), 1.0), (Some(1000), 0.5)] {
            SamplerConfig { steps, ..ddim(eta) }.validate(&schedule).unwrap();
        }
    }
}
