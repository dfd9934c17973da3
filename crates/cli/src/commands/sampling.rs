//! What all commands that sample share: the sampler from flags, noise, batches, progress.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use clap::Args;
use indicatif::ProgressBar;
use ndarray::{Array4, Axis, concatenate};
use sampler::{BoxError, Method, Noise, Sampler, SamplerConfig, Step};
use tch::Tensor;
use tracing::warn;

use crate::commands::results::Results;
use crate::failure::{bail_usage, usage};
use crate::flags::Global;
use crate::model::Loaded;
use crate::noise_end;
use crate::preferred;
use crate::sampler_flags::SamplerArgs;
use crate::signals::Signals;
use crate::{output, progress};

/// Seed and batch size, for every command that draws images.
#[derive(Debug, Clone, Args)]
pub(crate) struct NoiseArgs {
    /// Seed; the same seed gives the same images [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Batch size; affects speed and memory, not the images
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) batch: usize,
}

impl NoiseArgs {
    /// The same as these flags.
    pub(crate) fn new(seed: u64, batch: usize) -> Self {
        Self { seed: Some(seed), batch }
    }

    /// Seed of all draws.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// Refuses a seed if nothing is drawn.
    pub(crate) fn refuse_seed(&self, why: &str) -> anyhow::Result<()> {
        match self.seed {
            Some(seed) => bail_usage!("--seed {seed}: has no effect: {why}; leave it out"),
            None => Ok(()),
        }
    }

    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        if !(1..=65_536).contains(&self.batch) {
            bail_usage!("--batch {}: expected 1 to 65536", self.batch);
        }
        Ok(())
    }
}

impl SamplerArgs {
    /// The sampler that the flags choose for a network.
    pub(crate) fn build(&self, loaded: &Loaded) -> anyhow::Result<Sampler> {
        let config = self.config_for(loaded)?;
        let sampler = Sampler::new(&*loaded.path, &config);
        let sampler = sampler.map_err(|e| usage(anyhow!("--sampler {}: {e}", self.name())))?;
        noise_end::check_start(&sampler, &*loaded.path);
        Ok(sampler)
    }

    /// The configuration that the flags choose for a network, with its values checked.
    pub(crate) fn config_for(&self, loaded: &Loaded) -> anyhow::Result<SamplerConfig> {
        let mut config = self.config(&loaded.config.train)?;
        let preferred = loaded.config.sample.preferred.as_ref().filter(|_| self.leave_it_to_the_network());
        if let Some(preferred) = preferred {
            let steps = self.steps.unwrap_or(preferred.steps);
            config = preferred::config(preferred, steps, &*loaded.path, &loaded.config.train)?;
        } else if self.steps.is_none() {
            config.steps = config.method.recommended_steps().map(|steps| steps.min(loaded.path.steps()));
        }
        config
            .validate(&*loaded.path)
            .map_err(|e| usage(anyhow!("--{}", e.to_string().replacen(" = ", " ", 1))))?;
        if config.method == Method::DdpmLearned && !config.learned_variance {
            bail_usage!(
                "--sampler ddpm-learned: this network did not learn a variance (train.variance = learned); use --sampler \
                 ddpm, which has a fixed one"
            );
        }
        Ok(config)
    }
}

/// Runs `draw` on batches of `count` images with a bar over all network calls. Returns the pixels.
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
        let source = Noise { seed: noise.seed(), first_index: first as u64 };
        parts.push(output::to_pixels(&draw(range, &source, &bar)?, &loaded.images)?);
    }
    bar.finish_and_clear();
    let views: Vec<_> = parts.iter().map(Array4::view).collect();
    Ok(concatenate(Axis(0), &views)?)
}

/// A sampling run that may take hours: its images are saved batch by batch, and a signal ends it after any step.
pub(crate) struct LongSampling<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) noise: &'a NoiseArgs,
    /// The number of the first image.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Steps for each image.
    pub(crate) steps: usize,
    pub(crate) global: &'a Global,
    pub(crate) signals: &'a Signals,
}

/// The progress of a sampling run, and whether it should stop.
pub(crate) struct Progress<'a> {
    bar: ProgressBar,
    stop: &'a AtomicBool,
}

impl Progress<'_> {
    /// Records a step.
    ///
    /// # Errors
    /// The run should stop.
    pub(crate) fn step(&self, step: &Step<'_>) -> Result<(), BoxError> {
        tick(&self.bar, step);
        if self.stop.load(Ordering::Relaxed) { Err("stopped by a signal".into()) } else { Ok(()) }
    }
}

impl LongSampling<'_> {
    /// Runs `draw` on batches and passes their pixels to `results`, until all are done or a signal arrives. The first
    /// argument is the number of an image, counted from [`LongSampling::first`].
    pub(crate) fn run(
        &self,
        results: &mut Results<'_>,
        mut draw: impl FnMut(Range<usize>, &Noise, &Progress<'_>) -> anyhow::Result<Tensor>,
    ) -> anyhow::Result<()> {
        results.check_inputs(self.count)?;
        let calls = self.count.div_ceil(self.noise.batch) * self.steps;
        let bar = progress::bar(self.global, calls as u64, "sampling");
        let progress = Progress { bar, stop: &self.signals.stop };
        let end = self.first + self.count;
        for first in (self.first..end).step_by(self.noise.batch) {
            let range = first..(first + self.noise.batch).min(end);
            let source = Noise { seed: self.noise.seed(), first_index: first as u64 };
            match draw(range, &source, &progress) {
                Err(_) if self.is_stopped() => break,
                drawn => results.add(output::to_pixels(&drawn?, &self.loaded.images)?)?,
            }
            // From here on a signal must not lose work.
            self.signals.hold();
            if self.is_stopped() {
                break;
            }
        }
        progress.bar.finish_and_clear();
        Ok(())
    }

    /// Whether a signal has asked the run to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.signals.stop.load(Ordering::Relaxed)
    }

    /// Ends the program with `done` images saved. After a signal it returns that signal's exit code, whether or not
    /// `told`, the summary, succeeded.
    pub(crate) fn end(&self, done: usize, told: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
        if done == self.count {
            return told.map(|()| ExitCode::SUCCESS);
        }
        warn!("stopped after {done} of {}, which are saved", output::images(self.count));
        Ok(ExitCode::from(self.signals.exit_code()))
    }
}

/// Advances the bar by a step and shows the t reached.
pub(crate) fn tick(bar: &ProgressBar, step: &Step<'_>) {
    bar.inc(1);
    if !bar.is_hidden() {
        bar.set_message(format!("t = {:<4.0}", step.t));
    }
}
