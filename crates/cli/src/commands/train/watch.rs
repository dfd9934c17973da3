//! What one sees of a training run: a bar or lines, TensorBoard events, sample grids.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use indicatif::ProgressBar;
use ndarray::Axis;
use sampler::{Noise, Sampler, Step};
use tch::{Device, Kind};
use tensor_io::Named;
use tracing::info;
use trainer::{BoxError, Claim, EventFile, Observer, Record, RunFolder, StepReport};
use unet::Backbone;

use crate::conditioning::Conditioning;
use crate::config::Config;
use crate::device::Precision;
use crate::flags::Global;
use crate::networks;
use crate::sampler_flags::SamplerArgs;
use crate::{output, progress};

/// Samples are drawn in parts of so many images, or of what training takes at the same time, to bound the memory.
const SAMPLE_BATCH: usize = 64;

/// Follows one run.
pub(crate) struct Watch {
    bar: ProgressBar,
    lines: bool,
    events: EventFile,
    claim: Claim,
    samples: PathBuf,
    /// Set when the run is to end: the grid in progress is given up then.
    stop: Arc<AtomicBool>,
    config: Config,
    sampler: Sampler,
    /// A second network, for the averaged weights.
    net: Box<dyn Backbone>,
    kind: Kind,
    begun: Instant,
    first: u64,
    last_loss: Option<f64>,
    last_grid: Option<PathBuf>,
}

impl Watch {
    pub(crate) fn new(
        config: &Config,
        folder: &RunFolder,
        device: Device,
        global: &Global,
        first: u64,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let path = config.schedule.path()?;
        let flags = SamplerArgs::named(&config.sample.sampler, config.sample.steps);
        let bar = progress::bar(global, config.train.steps, "training");
        bar.set_position(first);
        bar.reset_eta();
        Ok(Self {
            bar,
            lines: !progress::shows_bars(global),
            events: EventFile::create(folder.path(), first)?,
            claim: folder.claim(),
            samples: folder.samples(),
            stop: Arc::clone(stop),
            sampler: Sampler::new(&*path, &flags.config(&config.train)?)?,
            net: networks::build(&config.model, path.steps(), device, config.seed)?,
            kind: Precision::settle(&config.precision, device)?.kind(),
            config: config.clone(),
            begun: Instant::now(),
            first,
            last_loss: None,
            last_grid: None,
        })
    }

    /// Takes the bar away.
    pub(crate) fn close(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn last_loss(&self) -> Option<f64> {
        self.last_loss
    }

    pub(crate) fn last_grid(&self) -> Option<&Path> {
        self.last_grid.as_deref()
    }

    fn grid_path(&self, done: u64) -> PathBuf {
        self.samples.join(format!("step-{done:08}-ema.png"))
    }

    fn draw(&mut self, done: u64, ema: &[Named]) -> anyhow::Result<()> {
        self.net.copy_weights(ema)?;
        // Of a conditional network: image i shows class i modulo their number, unguided.
        let Some(images) = &self.config.images else { return Ok(()) };
        let conditioning = Conditioning::every_class_of(&*self.net, images);
        let timesteps = self.config.schedule.steps;
        let mut parts = Vec::new();
        let most = match self.config.train.micro_batch {
            0 => SAMPLE_BATCH,
            images => SAMPLE_BATCH.min(images),
        };
        for first in (0..self.config.sample.count).step_by(most) {
            let count = most.min(self.config.sample.count - first);
            let shape = [count, images.channels, images.height, images.width].map(|n| n as i64);
            // The same noise at every step of the run, so that grids can be compared.
            let noise = Noise { seed: self.config.seed, first_index: first as u64 };
            let x_start = self.sampler.start_from(noise.start(shape, self.net.device())?)?;
            let part = first..first + count;
            let model = conditioning.model((&*self.net, self.kind), timesteps, part)?;
            let mut go_on = |_: &Step<'_>| {
                if self.stop.load(Ordering::Relaxed) { Err("stopped".into()) } else { Ok(()) }
            };
            match self.sampler.sample(&*model, &x_start, &noise, &mut go_on) {
                Ok(x_0) => parts.push(output::to_pixels(&x_0, images)?),
                Err(_) if self.stop.load(Ordering::Relaxed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let views: Vec<_> = parts.iter().map(ndarray::Array4::view).collect();
        let pixels = ndarray::concatenate(Axis(0), &views)?;
        let grid = output::class_grid(&pixels, conditioning.classes().len())?;
        let png = grid.png()?;
        let path = self.grid_path(done);
        // Drawing takes a while.
        self.claim.check()?;
        files::write_atomic(&path, &png).with_context(|| path.display().to_string())?;
        self.events.png("samples/ema", done, (grid.width() as u32, grid.height() as u32), 3, &png)?;
        self.last_grid = Some(path);
        Ok(())
    }

    fn line(&self, record: &Record) -> String {
        let total = self.config.train.steps;
        let elapsed = self.begun.elapsed().as_secs_f64();
        let left = elapsed * (total - record.step) as f64 / (record.step - self.first).max(1) as f64;
        format!(
            "step {}/{total}  loss {:.4}  lr {:.2e}  grad {:.3}  {:.1} images/s  {} left",
            record.step,
            record.loss,
            record.lr,
            record.grad_norm,
            record.images_per_s,
            duration(left)
        )
    }
}

impl Observer for Watch {
    fn on_step(&mut self, done: u64, report: &StepReport) {
        self.bar.set_position(done);
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_message(format!("loss {:.4}", report.loss));
    }

    fn on_log(&mut self, record: &Record) -> Result<(), BoxError> {
        let scalars = [
            ("train/loss", record.loss),
            ("train/lr", record.lr),
            ("train/grad_norm", record.grad_norm),
            ("train/images_per_s", record.images_per_s),
        ];
        for (tag, value) in scalars {
            self.events.scalar(tag, record.step, value)?;
        }
        for (bucket, loss) in record.loss_by_t.iter().enumerate() {
            if let Some(loss) = loss {
                self.events.scalar(&format!("loss_by_t/{bucket}"), record.step, *loss)?;
            }
        }
        self.last_loss = Some(record.loss);
        if self.lines {
            info!("{}", self.line(record));
        }
        Ok(())
    }

    fn on_sample(&mut self, done: u64, ema: &[Named]) -> Result<(), BoxError> {
        Ok(self.draw(done, ema)?)
    }

    fn on_rollback(&mut self, to: u64) -> Result<(), BoxError> {
        Ok(self.events.restart(to)?)
    }

    fn has_samples(&self, done: u64) -> bool {
        self.grid_path(done).is_file()
    }

    fn on_checkpoint(&mut self, path: &Path) {
        tracing::debug!("checkpoint {}", path.display());
    }
}

/// `1h 02m`, `3m 05s` or `7s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(7.2), "7s");
        assert_eq!(duration(185.0), "3m 05s");
        assert_eq!(duration(3725.0), "1h 02m");
    }
}
