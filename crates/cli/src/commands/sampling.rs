//! What all commands that sample share: flags to a sampler, noise, batches, progress.

use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;
use indicatif::ProgressBar;
use ndarray::{Array4, Axis, concatenate};
use sampler::{Method, Noise, Sampler, SamplerConfig};
use schedule::{Spacing, Variance};
use tch::Tensor;

use crate::args::{Global, SamplerArgs};
use crate::failure::{bail_usage, usage};
use crate::model::Loaded;
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
    /// A solver by name, everything else as usual.
    pub(crate) fn named(sampler: &str, steps: usize) -> Self {
        Self {
            sampler: sampler.to_owned(),
            steps: Some(steps),
            spacing: Spacing::Trailing.name().to_owned(),
            sigma: None,
            eta: None,
            no_clip: false,
        }
    }

    /// The flags as a configuration, not yet checked against a schedule.
    pub(crate) fn config(&self) -> anyhow::Result<SamplerConfig> {
        let mut method = Method::from_str(&self.sampler).map_err(|e| usage(anyhow!("--sampler: {e}")))?;
        match &mut method {
            Method::Ddpm { variance } => {
                if let Some(sigma) = &self.sigma {
                    *variance = Variance::from_str(sigma).map_err(|e| usage(anyhow!("--sigma: {e}")))?;
                }
            }
            Method::Ddim { eta } => *eta = self.eta.unwrap_or(*eta),
            _ => {}
        }
        match method {
            Method::Ddpm { .. } if self.eta.is_some() => {
                bail_usage!("--eta belongs to --sampler ddim; ddpm has --sigma")
            }
            Method::Ddim { .. } if self.sigma.is_some() => {
                bail_usage!("--sigma belongs to --sampler ddpm; ddim has --eta")
            }
            _ => {}
        }
        let spacing = Spacing::from_str(&self.spacing).map_err(|e| usage(anyhow!("--spacing: {e}")))?;
        let steps = self.steps;
        Ok(SamplerConfig { steps, spacing, clip_x_0: !self.no_clip, ..SamplerConfig::new(method) })
    }

    /// The sampler of the flags for a network.
    pub(crate) fn build(&self, loaded: &Loaded) -> anyhow::Result<Sampler> {
        let config = self.config()?;
        config
            .validate(&loaded.schedule)
            .map_err(|e| usage(anyhow!("--{}", e.to_string().replacen(" = ", " ", 1))))?;
        Ok(Sampler::new(&loaded.schedule, &config)?)
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
