//! Shared by the tests of whole runs: a small U-Net, a configuration, and one image.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]
#![allow(dead_code, reason = "each test takes the part it needs")]

use schedule::{NoisePath, Schedule};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{Batch, BoxError, Observer, StepReport, TimeSampling, TrainConfig, Trainer};
use unet::{Backbone, EmbeddingConfig, Pass, UNet, UNetConfig};

/// A network for 8x8 grey images, with about 12 thousand parameters.
pub(crate) fn tiny_net(dropout: f64, seed: u64) -> UNet {
    conditional_net(None, dropout, seed)
}

/// The same with classes.
pub(crate) fn conditional_net(classes: Option<usize>, dropout: f64, seed: u64) -> UNet {
    net_on(Device::Cpu, classes, dropout, seed)
}

/// The same on a device.
pub(crate) fn net_on(device: Device, classes: Option<usize>, dropout: f64, seed: u64) -> UNet {
    let config = UNetConfig {
        image_size: 8,
        base_channels: 8,
        attention_resolutions: vec![4],
        groups: 4,
        dropout,
        embedding: EmbeddingConfig::Normalized { frequencies: 8 },
        time_channels: 32,
        classes,
        ..UNetConfig::preset("tiny-16").unwrap()
    };
    UNet::new(&config, Schedule::ddpm().steps(), device, seed).unwrap()
}

/// A run of `steps` steps that logs and saves nothing before its end.
pub(crate) fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 16,
        lr: 3e-3,
        warmup_steps: 5,
        ema_decay: 0.9,
        ema_warmup: true,
        time_sampling: TimeSampling::Stratified,
        flip: false,
        log_every: steps,
        sample_every: 0,
        checkpoint_every: steps,
        keep_checkpoints: 2,
        ..TrainConfig::default()
    }
}

/// A trainer of the network's parameters on the paper's schedule.
pub(crate) fn trainer(net: &UNet, config: &TrainConfig, seed: u64) -> Trainer {
    Trainer::new(net.params(), &Schedule::ddpm(), config, seed, net.device()).unwrap()
}

/// The first step, waited or queued, of a network whose only parameter is `weights`: its report, and the gradient of each weight.
pub(crate) fn step_once(
    weights: &Tensor,
    (path, config, seed): (&dyn NoisePath, &TrainConfig, u64),
    images: Tensor,
    model: impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError>,
    queued: bool,
) -> (StepReport, Vec<f64>) {
    let params = vec![("w".to_owned(), weights.shallow_clone())];
    let mut trainer = Trainer::new(&params, path, config, seed, Device::Cpu).unwrap();
    let batch = Batch { images, labels: None };
    let report = if queued {
        trainer.work_ahead(true).unwrap();
        let step = trainer.queue_step(0, &batch, &model).unwrap();
        trainer.finish_step(step).unwrap()
    } else {
        trainer.train_step(&batch, &model).unwrap()
    };
    (report, Vec::<f64>::try_from(weights.grad().to_kind(Kind::Double)).unwrap())
}

/// The network as a closure for the trainer, with dropout on.
pub(crate) fn model(
    net: &UNet,
) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + '_ {
    |x_t, t, labels| Ok(net.forward(x_t, t, labels, &Pass::train())?)
}

/// `count` copies of one image: a bright ring on black, 8x8.
pub(crate) fn ring(count: i64) -> Batch {
    let pixel = |index: i64| {
        let (y, x) = ((index / 8 - 4) as f32 + 0.5, (index % 8 - 4) as f32 + 0.5);
        if (2.0..3.2).contains(&y.hypot(x)) { 1.0_f32 } else { -1.0 }
    };
    let one: Vec<f32> = (0..64).map(pixel).collect();
    let images = tensor_io::from_slice(&one, &[1, 1, 8, 8]).unwrap().repeat([count, 1, 1, 1]);
    Batch { images, labels: None }
}

/// The only parameter of `eps_theta(x_t, t) = w x_t`.
pub(crate) fn one_number() -> Vec<Named> {
    vec![("w".to_owned(), Tensor::from_slice(&[0.0_f32]).set_requires_grad(true))]
}

/// A trainer for it, with seed 3.
pub(crate) fn one_trainer(params: &[Named], config: &TrainConfig) -> Trainer {
    Trainer::new(params, &Schedule::ddpm(), config, 3, Device::Cpu).unwrap()
}

/// An observer that does nothing.
pub(crate) struct Silent;

impl Observer for Silent {}
