//! What all commands that sample share: the sampler from flags, noise, batches, progress.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use clap::Args;
use distributed::World;
use indicatif::ProgressBar;
use ndarray::{Array4, Axis, concatenate};
use sampler::{BoxError, Method, Noise, Sampler, SamplerConfig, Step};
use tch::Tensor;
use tracing::warn;

use crate::commands::results::Results;
use crate::exit::ExitCode;
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
    /// The ranks that draw the images batch by batch in turn, if there are several.
    pub(crate) world: Option<&'a World>,
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
    /// argument is the number of an image, counted from [`LongSampling::first`]. With several ranks, each draws every `n`-th
    /// batch, and rank 0 gets all of them. Returns whether a signal stopped it, which all ranks agree on.
    pub(crate) fn run(
        &self,
        results: &mut Results<'_>,
        mut draw: impl FnMut(Range<usize>, &Noise, &Progress<'_>) -> anyhow::Result<Tensor>,
    ) -> anyhow::Result<bool> {
        results.check_inputs(self.count)?;
        let (rank, size) = self.world.map_or((0, 1), |world| (world.rank(), world.size()));
        let calls = self.count.div_ceil(self.noise.batch * size) * self.steps;
        let bar = progress::bar(self.global, calls as u64, "sampling");
        let progress = Progress { bar, stop: &self.signals.stop };
        let end = self.first + self.count;
        let mut stopped = false;
        for round in (self.first..end).step_by(self.noise.batch * size) {
            let first = (round + rank * self.noise.batch).min(end);
            let range = first..(first + self.noise.batch).min(end);
            let source = Noise { seed: self.noise.seed(), first_index: first as u64 };
            let is_idle = range.is_empty();
            let drawn = match is_idle {
                true => None,
                false => match draw(range, &source, &progress) {
                    Err(_) if self.is_stopped() => None,
                    drawn => Some(output::to_pixels(&drawn?, &self.loaded.images)?),
                },
            };
            // After the last image there is nothing to stop.
            let is_last = round + self.noise.batch * size >= end && (is_idle || drawn.is_some());
            let signal = if self.is_stopped() && !is_last { self.signals.number() } else { 0 };
            let Gathered { parts, signal } = gathered(self.world, drawn, signal)?;
            parts.into_iter().try_for_each(|pixels| results.add(pixels))?;
            // From here on a signal must not lose work.
            self.signals.hold();
            if signal != 0 {
                self.signals.adopt(signal);
                stopped = true;
                break;
            }
        }
        progress.bar.finish_and_clear();
        Ok(stopped)
    }

    /// Whether a signal has asked the run to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.signals.stop.load(Ordering::Relaxed)
    }

    /// Ends a rank above 0, which has saved nothing itself; `stopped` as [`LongSampling::run`] returned it.
    pub(crate) fn end_of_other(&self, stopped: bool) -> ExitCode {
        if stopped { ExitCode::from(self.signals.exit_code()) } else { ExitCode::SUCCESS }
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

/// The batches of a round that follow each other without a gap, and the largest signal that asked a rank to stop; 0 if none
/// did.
struct Gathered {
    parts: Vec<Array4<u8>>,
    signal: u8,
}

/// Sends the pixels of all ranks to rank 0. Alone, they are there already.
fn gathered(world: Option<&World>, own: Option<Array4<u8>>, signal: u8) -> anyhow::Result<Gathered> {
    let Some(world) = world.filter(|world| !world.is_alone()) else {
        return Ok(Gathered { parts: own.into_iter().collect(), signal });
    };
    let shape = own.as_ref().map(|pixels| pixels.dim());
    let mut message = vec![signal];
    for number in shape.map_or([0; 4], |(images, height, width, channels)| [images, height, width, channels])
    {
        message.extend((number as u64).to_le_bytes());
    }
    message.extend(own.iter().flat_map(|pixels| pixels.iter()));
    let all = world.gather("the images of all ranks", &message)?;
    let signal = all.iter().filter_map(|message| message.first().copied()).fold(signal, u8::max);
    if !world.is_first() {
        return Ok(Gathered { parts: Vec::new(), signal });
    }
    let parts = all.iter().map_while(|message| unpacked(message)).collect();
    Ok(Gathered { parts, signal })
}

/// The pixels of a message; `None` without any.
fn unpacked(message: &[u8]) -> Option<Array4<u8>> {
    let (numbers, pixels) = message.get(1..)?.split_at_checked(4 * size_of::<u64>())?;
    let mut numbers = numbers.chunks_exact(size_of::<u64>()).map(|bytes| {
        let number = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        usize::try_from(number).unwrap_or(usize::MAX)
    });
    let shape = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    Array4::from_shape_vec(shape, pixels.to_vec()).ok().filter(|pixels| !pixels.is_empty())
}

/// Advances the bar by a step and shows the t reached.
pub(crate) fn tick(bar: &ProgressBar, step: &Step<'_>) {
    bar.inc(1);
    if !bar.is_hidden() {
        bar.set_message(format!("t = {:<4.0}", step.t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_pixels_or_none() {
        let pixels = Array4::from_shape_fn((2, 3, 4, 1), |(n, y, x, _)| (n * 100 + y * 10 + x) as u8);
        let mut message = vec![0];
        for number in [2_u64, 3, 4, 1] {
            message.extend(number.to_le_bytes());
        }
        message.extend(pixels.iter());
        assert_eq!(unpacked(&message), Some(pixels));
        for cut in [0, 1, 20, 33, message.len() - 1] {
            assert_eq!(unpacked(&message[..cut]), None, "{cut}");
        }
        assert_eq!(unpacked(&[[1].as_slice(), &[0; 32]].concat()), None);
        assert_eq!(unpacked(&[[0].as_slice(), &[255; 32]].concat()), None);
    }

    #[test]
    fn alone_nothing_is_sent() {
        let pixels = Array4::zeros((1, 2, 2, 3));
        for world in [None, Some(&World::alone())] {
            let alone = gathered(world, Some(pixels.clone()), 15).unwrap();
            assert!(alone.parts == [pixels.clone()] && alone.signal == 15);
            assert!(gathered(world, None, 0).unwrap().parts.is_empty());
        }
    }
}
