//! Sampling that starts from a mixture of Gaussians instead of pure noise: the flags, and the start.

use std::ops::Range;

use anyhow::anyhow;
use clap::Args;
use mixture::{Mixture, MixtureError};
use sampler::{Noise, Sampler, Times};
use tch::Tensor;
use tracing::warn;

use crate::conditioning::Conditioning;
use crate::failure::{bail_usage, usage};
use crate::model::Loaded;
use crate::paths::{self, InputPath, text};
use crate::sampler_flags::SamplerArgs;

/// `sigma / alpha` at which the mixture of a small set is as good as the network's own `x_t` (docs/few-steps.md).
const NOISE: f64 = 1.0;
/// The lowest and highest `sigma / alpha`.
const NOISES: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// A start other than pure noise.
#[derive(Debug, Clone, Args)]
pub(crate) struct MixtureFlags {
    /// Start from the noised mixture in this file of `ddpm mixture` instead of pure noise
    #[arg(long, value_name = "FILE")]
    pub(crate) mixture: Option<InputPath>,
    /// Its noise, sigma / alpha, 0.01 to 100 [default: 1]
    #[arg(long, value_name = "X", requires = "mixture")]
    pub(crate) mixture_noise: Option<f64>,
}

/// A mixture for a network, and the noise that is added to it.
pub(crate) struct Start {
    mixture: Mixture,
    ratio: f64,
}

impl MixtureFlags {
    /// Checks the number before any network is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.mixture_noise {
            Some(noise) if !NOISES.contains(&noise) => {
                bail_usage!("--mixture-noise {noise}: expected {} to {}", NOISES.start(), NOISES.end())
            }
            _ => Ok(()),
        }
    }

    /// Reads the mixture that the flags name, for a network.
    pub(crate) fn open(&self, loaded: &Loaded) -> anyhow::Result<Option<Start>> {
        let Some(path) = &self.mixture else { return Ok(None) };
        paths::check_file("--mixture", path, "ddpm mixture")?;
        let (mixture, _) = Mixture::read(path).map_err(|error| match error {
            MixtureError::File { reason, .. } => usage(anyhow!(
                "--mixture {}: expected a file of `ddpm mixture`, found {reason}",
                path.display()
            )),
            // The message names the file.
            MixtureError::Tensors(error) => anyhow::Error::new(error).context("--mixture"),
            other => anyhow::Error::new(other).context(format!("--mixture {}", path.display())),
        })?;
        let [_, channels, height, width] = loaded.shape(1);
        let [own_channels, own_height, own_width] = mixture.shape();
        if [channels, height, width] != mixture.shape() {
            bail_usage!(
                "--mixture {}: expected images of {width}x{height}x{channels}, as the network's, found \
                 {own_width}x{own_height}x{own_channels}; fit one with ddpm mixture",
                path.display()
            );
        }
        Ok(Some(Start { mixture, ratio: self.mixture_noise.unwrap_or(NOISE) }))
    }

    /// What differs from pure noise: `mixture FILE, mixture noise 1`.
    pub(crate) fn settings(&self) -> Vec<String> {
        let Some(path) = &self.mixture else { return Vec::new() };
        vec![
            format!("mixture {}", text(path)),
            format!("mixture noise {}", self.mixture_noise.unwrap_or(NOISE)),
        ]
    }
}

/// The sampler that the flags choose, from pure noise or from a start below it. `asked` is the number of steps that the user
/// named.
pub(crate) fn sampler(
    start: Option<&Start>,
    flags: &SamplerArgs,
    asked: Option<usize>,
    loaded: &Loaded,
) -> anyhow::Result<Sampler> {
    match start {
        Some(start) => start.sampler(flags, asked, loaded),
        None => flags.build(loaded),
    }
}

/// `x_t` at the level that the sampler starts from, for a range of images: pure noise, or samples of a start with that noise.
pub(crate) fn x_start(
    start: Option<&Start>,
    sampler: &Sampler,
    (loaded, conditioning): (&Loaded, &Conditioning),
    noise: &Noise,
    images: Range<usize>,
) -> anyhow::Result<Tensor> {
    let eps = noise.start(loaded.shape(images.len()), loaded.device)?;
    match start {
        Some(start) => start.draw(sampler, &conditioning.drawn_labels(images), noise, &eps),
        None => Ok(sampler.start_from(eps)?),
    }
}

impl Start {
    /// The sampler from this start on: all its steps lie below it.
    fn sampler(&self, flags: &SamplerArgs, asked: Option<usize>, loaded: &Loaded) -> anyhow::Result<Sampler> {
        let config = flags.config_for(loaded)?;
        let path = &*loaded.path;
        match config.times {
            Times::Given(_) if !flags.timesteps.is_empty() => {
                bail_usage!("--timesteps: --mixture-noise chooses the first t; use --steps and --spacing")
            }
            Times::Given(_) | Times::Levels(_) => bail_usage!(
                "--mixture: this model comes with its own sampler and levels; name one with --sampler"
            ),
            _ => {}
        }
        let level = path.level_of_ratio(self.ratio);
        let level = level.map_err(|error| usage(anyhow!("--mixture-noise {}: {error}", self.ratio)))?;
        let t_start = (level.t.round().max(0.0) as usize + 1).min(path.steps());
        if let Some(steps) = asked.filter(|&steps| steps > t_start) {
            bail_usage!(
                "--steps {steps}: expected 1 to {t_start}: there are no more below --mixture-noise {}",
                self.ratio
            );
        }
        let steps = config.steps.unwrap_or(t_start).min(t_start);
        let in_flags = |e| usage(anyhow!("--sampler {}: {e}", flags.name()));
        let grid = config.times.grid(path, t_start, steps, config.end).map_err(in_flags)?;
        let first = grid.level(0);
        if first.t < (t_start - 1) as f64 {
            warn!(
                "--spacing {}: these steps start at t = {}, where sigma / alpha is {:.3} instead of {}; --spacing trailing starts \
                 at --mixture-noise",
                config.times,
                first.t,
                first.ratio(),
                self.ratio
            );
        }
        Sampler::on_grid(path, &config, grid).map_err(in_flags)
    }

    /// Samples of the mixture with the noise `eps` of the sampler's first level; no labels for an unconditional network.
    fn draw(&self, sampler: &Sampler, labels: &[i64], noise: &Noise, eps: &Tensor) -> anyhow::Result<Tensor> {
        let level = sampler.grid().level(0);
        let drawn = self.mixture.start(&level, labels, (noise.seed, noise.first_index), eps);
        drawn.map_err(|error| match error {
            MixtureError::Class { .. } => usage(anyhow!("--mixture: {error}")),
            other => other.into(),
        })
    }
}
