//! A valid configuration for the tests of this crate.

use config::{LrDecay, TrainConfig};

pub(crate) fn example() -> TrainConfig {
    TrainConfig {
        steps: 20,
        batch: 8,
        lr: 0.05,
        warmup_steps: 2,
        lr_decay: LrDecay::Cosine,
        ema_decay: 0.9,
        ema_warmup: true,
        flip: false,
        log_every: 3,
        sample_every: 0,
        checkpoint_every: 5,
        keep_checkpoints: 2,
        ..TrainConfig::default()
    }
}
