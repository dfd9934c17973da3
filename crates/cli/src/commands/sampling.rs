//! What all commands that sample share: flags to a sampler, noise, batches, progress.

use anyhow::anyhow;
use clap::Args;
use indicatif::ProgressBar;
use ndarray::{Array4, Axis, concatenate};
use sampler::{Method, Noise, Sampler, SamplerConfig, Step};
use tch::Tensor;

use crate::failure::{bail_usage, usage};
use crate::flags::Global;
use crate::model::Loaded;
use crate::noise_end;
use crate::sampler_flags::SamplerArgs;
use crate::{output, progress};

/// What and how many, for every command that draws images.
#[derive(Debug, Clone, Args)]
pub(crate) struct NoiseArgs {
    /// Same seed, same images
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Images computed at once; changes the speed and the memory, not the images
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) batch: usize,
}

impl NoiseArgs {
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        if !(1..=65_536).contains(&self.batch) {
            bail_usage!("--batch {}: expected 1 to 65536", self.batch);
        }
        Ok(())
    }
}

impl SamplerArgs {
    /// The sampler of the flags for a network.
    pub(crate) fn build(&self, loaded: &Loaded) -> anyhow::Result<Sampler> {
        let config = self.config_for(loaded)?;
        let sampler = Sampler::new(&loaded.schedule, &config);
        let sampler = sampler.map_err(|e| usage(anyhow!("--sampler {}: {e}", self.sampler)))?;
        noise_end::check_start(&sampler, &loaded.schedule);
        Ok(sampler)
    }

    /// The configuration of the flags for a network, its values checked.
    pub(crate) fn config_for(&self, loaded: &Loaded) -> anyhow::Result<SamplerConfig> {
        let mut config = self.config(loaded.prediction())?;
        if self.steps.is_none() {
            config.steps = config.method.recommended_steps().map(|steps| steps.min(loaded.schedule.steps()));
        }
        config
            .validate(&loaded.schedule)
            .map_err(|e| usage(anyhow!("--{}", e.to_string().replacen(" = ", " ", 1))))?;
        let model = &loaded.config.model;
        if config.method == Method::DdpmLearned && model.out_channels != 2 * model.in_channels {
            bail_usage!(
                "--sampler ddpm-learned: this network predicts no variance ({} channels in, {} out, and it takes twice as \
                 many); --sampler ddpm has fixed ones",
                model.in_channels,
                model.out_channels
            );
        }
        Ok(config)
    }
}

/// Runs `draw` on batches of `count` images with a bar over all network calls; returns the pixels.
pub(crate) fn in_batches(
    loaded: &Loaded,
    noise: &NoiseArgs,
    count: usize,
    steps: usize,
    global: &Global,
    mut draw: impl FnMut(std::ops::Range<usize>, &Noise, &ProgressBar) -> anyhow::Result<Tensor>,
) -> anyhow::Result<Array4<u8>> {
    noise.validate()?;
    let calls = count.div_ceil(noise.batch) * steps;
    let bar = progress::bar(global, calls as u64, "sampling");
    let mut parts = Vec::new();
    for first in (0..count).step_by(noise.batch) {
        let range = first..(first + noise.batch).min(count);
        let source = Noise { seed: noise.seed, first_index: first as u64 };
        parts.push(output::to_pixels(&draw(range, &source, &bar)?, &loaded.images)?);
    }
    bar.finish_and_clear();
    let views: Vec<_> = parts.iter().map(Array4::view).collect();
    Ok(concatenate(Axis(0), &views)?)
}

/// Moves the bar on by a step and shows the t that it reached.
pub(crate) fn tick(bar: &ProgressBar, step: &Step<'_>) {
    bar.inc(1);
    if !bar.is_hidden() {
        bar.set_message(format!("t = {:<4.0}", step.t));
    }
}
