//! Turns a model from another program into a configuration of this project, for use by every command.

use config::{Config, DataConfig, DataOrder, ImagesConfig, LearnedVariance, SampleConfig, TrainConfig};

use crate::diffusers::{Network, Scheduler};

/// Images in a grid.
const GRID: usize = 64;

/// The configuration of such a network. Unknown training settings get their defaults.
pub(crate) fn config(network: &Network, scheduler: &Scheduler) -> Config {
    let model = network.config.clone();
    let classes = model.classes.unwrap_or(0);
    let images = ImagesConfig {
        height: network.height,
        width: network.width,
        channels: model.in_channels,
        class_names: (0..classes).map(|class| class.to_string()).collect(),
        ..ImagesConfig::square(network.height, model.in_channels)
    };
    let variance =
        if scheduler.learned_variance { LearnedVariance::Learned } else { LearnedVariance::default() };
    Config {
        seed: 0,
        precision: "auto".to_owned(),
        id: None,
        data: DataConfig {
            source: String::new(),
            size: (network.height == network.width).then_some(network.height.into()),
            channels: Some(model.in_channels),
            fit: "crop".to_owned(),
            pad_to_multiple: None,
            limit: None,
            on_bad: "fail".to_owned(),
            unpacked_limit: None,
            memory: None,
            order: DataOrder::Images,
            shuffle_buffer: None,
        },
        schedule: scheduler.schedule.clone(),
        train: TrainConfig { prediction: scheduler.prediction, variance, ..TrainConfig::default() },
        sample: SampleConfig {
            count: GRID,
            sampler: scheduler.preferred.sampler.clone(),
            steps: scheduler.preferred.steps,
            preferred: Some(scheduler.preferred.clone()),
        },
        images: Some(images),
        init: None,
        model,
    }
}
