//! `ddpm try-step`, which `ddpm train --batch auto` runs: training steps, to see whether they fit in memory.
//!
//! It runs in a process of its own, because it may be killed, and because a process that has run out of memory cannot
//! free what libtorch's libraries hold.

use std::io::Read;

use anyhow::Context;
use clap::Args;
use files::AvailableMemory;
use tch::{Device, Kind, Tensor};
use trainer::{Batch, BoxError, TrainConfig, Trainer, TrainerError};
use unet::Pass;

use crate::config::{Config, from_toml};
use crate::device::{self, Precision};
use crate::flags::Global;
use crate::memory::{self, Limit};
use crate::networks;

/// Share of the available memory that a step may take. The rest is for fragmentation and for differences between steps.
const SHARE: f64 = 0.8;
/// Bytes that a run needs besides its steps: threads, queued images, the network for the average.
const BESIDE: u64 = 64 << 20;

/// Takes two steps of the configuration on standard input. Exit code 6 means not enough memory.
#[derive(Debug, Args)]
pub(crate) struct TryStep {
    /// Images at a time
    #[arg(long, value_name = "N")]
    images: usize,
}

impl TryStep {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let device = device::select(global)?;
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text).context("standard input")?;
        let config = from_toml(&text)?;
        config.validate()?;
        let kind = Precision::settle(&config.precision, device)?.kind();
        if self.images == config.train.batch {
            memory::keep_freed();
        }
        let bytes = |now: AvailableMemory| ((now.bytes as f64 * SHARE) as u64).saturating_sub(BESIDE);
        let _limit = AvailableMemory::now().filter(|_| device == Device::Cpu).map(bytes).map(Limit::to);
        match self.step(&config, device, kind) {
            // Black images teach nothing, and the step need not be finite: it only matters that memory was enough.
            Ok(()) | Err(TrainerError::NonFinite { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Two steps of three parts each, so that everything also runs once with the memory in its steady state.
    fn step(&self, config: &Config, device: Device, kind: Kind) -> Result<(), TrainerError> {
        let model = &config.model;
        let path = config.schedule.path()?;
        let net = networks::build(model, path.steps(), device, config.seed).map_err(caller)?;
        let numbers = TrainConfig { micro_batch: self.images, ..config.train.clone() };
        let mut trainer = Trainer::new(net.params(), &*path, &numbers, config.seed, device)?;
        let count = numbers.batch.min(self.images.saturating_mul(3)) as i64;
        let square = (model.image_size, model.image_size);
        let (height, width) = config.images.as_ref().map_or(square, |images| (images.height, images.width));
        let size = [count, model.in_channels as i64, height as i64, width as i64];
        let images = Tensor::f_full(size, -1.0, (Kind::Float, Device::Cpu))?;
        let labels =
            model.classes.map(|_| Tensor::f_zeros([count], (Kind::Int64, Device::Cpu))).transpose()?;
        let pass = Pass::train().with_kind(kind).with_checkpoints(numbers.checkpoint_activations);
        let run = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(net.forward(x_t, t, labels, &pass)?)
        };
        let batch = Batch { images, labels };
        for _ in 0..2 {
            let _ = trainer.train_step(&batch, &run)?;
        }
        Ok(())
    }
}

fn caller(error: impl Into<BoxError>) -> TrainerError {
    TrainerError::Caller(error.into())
}
