//! How much the weights after each step contribute to an average.

use std::fmt;

use config::TrainConfig;

use crate::ema::Ema;

/// The rule of an average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Profile {
    /// `average = decay average + (1 - decay) weights`, with the run's warm-up: [`Ema::decay_at`].
    Decay(f64),
    /// A power average (Karras et al. 2024, Sec. 3.1): it covers a fixed share of the training, whatever its length. The
    /// value is the standard deviation of its weights over time, relative to the time so far.
    SigmaRel(f64),
}

impl Profile {
    /// The decay at a step, counted from 0.
    #[must_use]
    pub fn decay_at(self, config: &TrainConfig, step: u64) -> f64 {
        self.decays(config)(step)
    }

    /// The decay as a function of the step. What does not depend on the step is computed once.
    fn decays(self, config: &TrainConfig) -> Box<dyn Fn(u64) -> f64> {
        match self {
            Self::Decay(ema_decay) => {
                let config = TrainConfig { ema_decay, ..config.clone() };
                Box::new(move |step| Ema::decay_at(&config, step))
            }
            Self::SigmaRel(sigma_rel) => {
                let exponent = exponent(sigma_rel);
                // Their Eq. 2: (1 - 1 / t)^(gamma + 1), with t = 1 after the first step.
                Box::new(move |step| (1.0 - 1.0 / (step as f64 + 1.0)).powf(exponent))
            }
        }
    }

    /// The profiles that a run keeps besides its own average.
    pub fn of_run(config: &TrainConfig) -> impl Iterator<Item = Self> {
        let decays = config.ema_decays.iter().copied().map(Self::Decay);
        decays.chain(config.ema_sigma_rels.iter().copied().map(Self::SigmaRel))
    }

    /// How much the weights after each of `steps` steps contribute to the average. The sum is 1, minus what a plain average
    /// keeps of the initial weights.
    #[must_use]
    pub fn response(self, config: &TrainConfig, steps: u64) -> Vec<f64> {
        let (mut kept, decay_at) = (1.0, self.decays(config));
        let mut response: Vec<f64> = (0..steps)
            .rev()
            .map(|step| {
                let decay = decay_at(step);
                let share = kept * (1.0 - decay);
                kept *= decay;
                share
            })
            .collect();
        response.reverse();
        response
    }
}

/// As in names of tensors and files: `decay-0.99`, `sigma-rel-0.05`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decay(decay) => write!(f, "decay-{decay}"),
            Self::SigmaRel(sigma_rel) => write!(f, "sigma-rel-{sigma_rel}"),
        }
    }
}

/// `gamma + 1` of a relative deviation, from Eq. 3 of Karras et al. 2024:
/// `sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3))`.
pub(crate) fn exponent(sigma_rel: f64) -> f64 {
    let deviation = |power: f64| (power / ((power + 1.0).powi(2) * (power + 2.0))).sqrt();
    // It falls with gamma, from 0.2887 at gamma = 0, which is the largest value the configuration allows.
    let (mut low, mut high) = (1.0, 1e9);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if deviation(middle) > sigma_rel { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    /// Karras et al. 2024, Sec. 3.1 and App. C: gamma of 0.05 and 0.10 is 16.97 and 6.94.
    #[test]
    fn exponents_are_those_of_the_paper() {
        assert!((exponent(0.05) - 17.97).abs() < 0.005, "{}", exponent(0.05));
        assert!((exponent(0.10) - 7.94).abs() < 0.005, "{}", exponent(0.10));
    }

    /// The standard deviation over time of an average's weights is `sigma_rel`, relative to the whole time.
    #[test]
    fn a_power_average_has_its_deviation_at_any_length() {
        for sigma_rel in [0.02, 0.05, 0.1, 0.25] {
            for steps in [2000_u64, 8000] {
                let response = Profile::SigmaRel(sigma_rel).response(&example(), steps);
                let total: f64 = response.iter().sum();
                let mean: f64 = response.iter().enumerate().map(|(i, w)| w * i as f64).sum();
                let spread: f64 =
                    response.iter().enumerate().map(|(i, w)| w * (i as f64 - mean).powi(2)).sum();
                assert!((total - 1.0).abs() < 1e-12);
                let got = spread.sqrt() / steps as f64;
                assert!((got / sigma_rel - 1.0).abs() < 0.02, "{sigma_rel}, {steps} steps: {got}");
            }
        }
    }

    #[test]
    fn a_plain_average_forgets_at_its_rate() {
        let config = TrainConfig { ema_warmup: false, ..example() };
        let response = Profile::Decay(0.9).response(&config, 50);
        assert!((response[49] - 0.1).abs() < 1e-12 && (response[48] - 0.09).abs() < 1e-12);
        assert_eq!(Profile::Decay(0.9).to_string(), "decay-0.9");
    }
}
