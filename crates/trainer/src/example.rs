//! A valid configuration for the tests of this crate.

use config::{LrDecay, OnNan, TimeSampling, TrainConfig};
use schedule::{LossWeight, Prediction};

pub(crate) fn example() -> TrainConfig {
    TrainConfig {
        steps: 20,
        batch: 8,
        micro_batch: 0,
        checkpoint_activations: false,
        lr: 0.05,
        warmup_steps: 2,
        lr_decay: LrDecay::Cosine,
        beta1: 0.9,
        beta2: 0.999,
        adam_eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: 1.0,
        ema_decay: 0.9,
        ema_warmup: true,
        prediction: Prediction::Eps,
        loss_weight: LossWeight::Simple,
        time_sampling: TimeSampling::Uniform,
        flip: false,
        label_dropout: 0.0,
        on_nan: OnNan::Stop,
        log_every: 3,
        sample_every: 0,
        checkpoint_every: 5,
        keep_checkpoints: 2,
    }
}
