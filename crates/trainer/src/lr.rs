//! The learning rate of a step.

use std::f64::consts::PI;

use config::{LrDecay, TrainConfig};

/// Learning rate of `step` (from 0): a linear warm-up, then constant, half a cosine down to 0, or an inverse
/// square root.
#[must_use]
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    if step < config.warmup_steps {
        return config.lr * (step + 1) as f64 / config.warmup_steps as f64;
    }
    match config.lr_decay {
        LrDecay::Constant => config.lr,
        LrDecay::Cosine => {
            let span = config.steps.saturating_sub(config.warmup_steps).max(1) as f64;
            let progress = ((step - config.warmup_steps) as f64 / span).min(1.0);
            config.lr * 0.5 * (1.0 + (PI * progress).cos())
        }
        LrDecay::InverseSqrt => {
            let reference = config.lr_decay_steps.unwrap_or(1) as f64;
            config.lr / (step as f64 / reference).max(1.0).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    #[test]
    fn rises_then_falls() {
        let config = TrainConfig { warmup_steps: 10, steps: 110, lr: 0.1, ..example() };
        assert!((learning_rate(&config, 0) - 0.01).abs() < 1e-12);
        assert!((learning_rate(&config, 9) - 0.1).abs() < 1e-12);
        assert!((learning_rate(&config, 10) - 0.1).abs() < 1e-12);
        assert!((learning_rate(&config, 60) - 0.05).abs() < 1e-12);
        assert!(learning_rate(&config, 110).abs() < 1e-12);
        let falling =
            TrainConfig { lr_decay: LrDecay::InverseSqrt, lr_decay_steps: Some(40), ..config.clone() };
        for (step, want) in [(9, 0.1), (40, 0.1), (160, 0.05), (4000, 0.01)] {
            assert!((learning_rate(&falling, step) - want).abs() < 1e-12, "step {step}");
        }
        let constant = TrainConfig { lr_decay: LrDecay::Constant, warmup_steps: 0, ..config };
        assert!([0, 50, 10_000].iter().all(|&step| learning_rate(&constant, step) == 0.1));
    }
}
