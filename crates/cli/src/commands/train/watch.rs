//! Progress of a training run: a bar or log lines, TensorBoard events, sample grids.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use indicatif::ProgressBar;
use ndarray::{Array4, Axis, concatenate};
use sampler::{Noise, Sampler, Step};
use tch::{Device, Kind};
use tensor_io::Named;
use tracing::info;
use trainer::{
    BoxError, Checkpoint, Claim, EvaluationRecord, EventFile, Observer, Record, RunFolder, StepReport,
    read_evaluations,
};
use unet::Backbone;

use crate::commands::evaluate;
use crate::commands::train::evaluating::{self, Evaluating};
use crate::commands::train::pace::Pace;
use crate::conditioning::Conditioning;
use crate::config::Config;
use crate::device::Precision;
use crate::flags::Global;
use crate::networks;
use crate::sampler_flags::SamplerArgs;
use crate::{output, progress};

/// Samples are drawn in batches of at most this size, or of the training micro-batch, to bound the memory.
const SAMPLE_BATCH: usize = 64;

/// Follows one run.
pub(crate) struct Watch {
    bar: ProgressBar,
    lines: bool,
    events: EventFile,
    claim: Claim,
    samples: PathBuf,
    /// Set when the run should stop: the grid in progress is then abandoned.
    stop: Arc<AtomicBool>,
    config: Config,
    sampler: Sampler,
    /// A second network, for the averaged weights.
    net: Box<dyn Backbone>,
    kind: Kind,
    pace: Pace,
    /// The end of the last step, grid or evaluation.
    since: Instant,
    last_loss: Option<f64>,
    last_grid: Option<PathBuf>,
    evaluating: Option<Evaluating>,
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
        // Without a terminal, the log lines of the run are more useful.
        let bar = progress::bare_bar(global, config.train.steps);
        bar.set_position(first);
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
            pace: Pace::default(),
            since: Instant::now(),
            last_loss: None,
            last_grid: None,
            evaluating: None,
        })
    }

    /// Removes the bar.
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

    /// Adds evaluations, if requested.
    pub(crate) fn with(self, evaluating: Option<Evaluating>) -> Self {
        Self { evaluating, ..self }
    }

    fn draw(&mut self, done: u64, ema: &[Named]) -> anyhow::Result<()> {
        let Some((pixels, classes)) = self.samples(self.config.sample.count, self.config.seed, None, ema)?
        else {
            return Ok(());
        };
        let grid = output::class_grid(&pixels, classes)?;
        let png = grid.png()?;
        let path = self.grid_path(done);
        // Drawing takes a while, so check the claim again.
        self.claim.check()?;
        files::write_atomic(&path, &png).with_context(|| path.display().to_string())?;
        self.events.png("samples/ema", done, (grid.width() as u32, grid.height() as u32), 3, &png)?;
        self.last_grid = Some(path);
        Ok(())
    }

    /// Samples of the averaged weights, and the number of classes they cycle through, by the run's own sampler or another
    /// one; `None` if a stop was requested meanwhile.
    fn samples(
        &mut self,
        count: usize,
        seed: u64,
        sampler: Option<&Sampler>,
        ema: &[Named],
    ) -> anyhow::Result<Option<(Array4<u8>, usize)>> {
        self.net.copy_weights(ema)?;
        // For a conditional network, image i shows class i modulo their number, without guidance.
        let Some(images) = &self.config.images else { return Ok(None) };
        let conditioning = Conditioning::every_class_of(&*self.net, images);
        let (timesteps, sampler) = (self.config.schedule.steps, sampler.unwrap_or(&self.sampler));
        let (mut parts, mut taken) = (Vec::new(), 0);
        let most = match self.config.train.micro_batch {
            0 => SAMPLE_BATCH,
            images => SAMPLE_BATCH.min(images),
        };
        for first in (0..count).step_by(most) {
            let part = first..(first + most).min(count);
            let shape = [part.len(), images.channels, images.height, images.width].map(|n| n as i64);
            // Use the same noise at every step of the run, so that grids can be compared.
            let noise = Noise { seed, first_index: first as u64 };
            let x_start = sampler.start_from(noise.start(shape, self.net.device())?)?;
            let model = conditioning.model((&*self.net, self.kind), timesteps, part)?;
            let mut go_on = |_: &Step<'_>| {
                taken += 1;
                let share = taken as f64 / (count.div_ceil(most) * sampler.steps()).max(1) as f64;
                self.bar.set_message(format!("drawing {}: {:.0}%", output::images(count), 100.0 * share));
                if self.stop.load(Ordering::Relaxed) { Err("stopped".into()) } else { Ok(()) }
            };
            match sampler.sample(&*model, &x_start, &noise, &mut go_on) {
                Ok(x_0) => parts.push(output::to_pixels(&x_0, images)?),
                Err(_) if self.stop.load(Ordering::Relaxed) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let views: Vec<_> = parts.iter().map(Array4::view).collect();
        Ok(Some((concatenate(Axis(0), &views)?, conditioning.classes().len())))
    }

    /// Evaluates the averaged weights, logs the result, and keeps the checkpoint if it is the best.
    fn evaluate(&mut self, done: u64, ema: &[Named], checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let Some(evaluating) = self.evaluating.take() else { return Ok(()) };
        let result = self.evaluate_with(&evaluating, done, ema, checkpoint);
        self.evaluating = Some(evaluating);
        result
    }

    fn evaluate_with(
        &mut self,
        evaluating: &Evaluating,
        done: u64,
        ema: &[Named],
        checkpoint: &Checkpoint,
    ) -> anyhow::Result<()> {
        let (begun, config) = (Instant::now(), self.config.clone());
        let path = config.schedule.path()?;
        let (name, steps) = evaluate::usual_sampler(&config.sample);
        let flags = SamplerArgs::named(name, steps.min(path.steps()));
        let sampler = Sampler::new(&*path, &flags.config(&config.train)?)?;
        let drawn = self.samples(config.train.evaluate_count(), evaluate::SEED, Some(&sampler), ema)?;
        let Some((samples, _)) = drawn else { return Ok(()) };
        self.bar.set_message(format!("evaluating {}", output::images(samples.len_of(Axis(0)))));
        let mut record = evaluating.measure(done, &samples, &config, &*path, (&*self.net, self.kind))?;
        record.seconds = begun.elapsed().as_secs_f64();
        let folder = self.claim.path().to_owned();
        let is_best = evaluating::keep_if_best(&self.claim, &record, checkpoint)?;
        self.claim.append_evaluation(&record)?;
        self.tell(&record, ema)?;
        let best = if is_best {
            format!("; the best so far: {}", folder.join("best").display())
        } else {
            String::new()
        };
        info!("step {done}: {}{best}", record_text(&record));
        Ok(())
    }

    /// Sends an evaluation and the distributions of the averaged weights to TensorBoard.
    fn tell(&mut self, record: &EvaluationRecord, ema: &[Named]) -> anyhow::Result<()> {
        let scalars = [
            ("evaluation/fd_train", record.fd_train),
            ("evaluation/fd_test", record.fd_test),
            ("evaluation/held_out_loss", record.held_out_loss),
            ("evaluation/copying_share", record.copying_share),
        ];
        for (tag, value) in scalars {
            if let Some(value) = value {
                self.events.scalar(tag, record.step, value)?;
            }
        }
        for (bucket, loss) in record.held_out_by_t.iter().enumerate() {
            self.events.scalar(&format!("held_out_by_t/{bucket}"), record.step, *loss)?;
        }
        for (name, tensor) in ema {
            self.events.histogram(&format!("weights/{name}"), record.step, &tensor_io::to_vec(tensor)?)?;
        }
        Ok(())
    }

    fn line(&self, record: &Record) -> String {
        let left = self.left(record.step).map(|left| format!("  {left}")).unwrap_or_default();
        format!(
            "step {}/{}  loss {:.4}  lr {:.2e}  grad {:.3}  {:.1} images/s{left}",
            record.step,
            self.config.train.steps,
            record.loss,
            record.lr,
            record.grad_norm,
            record.images_per_s,
        )
    }

    /// The message of the bar.
    fn state(&self, done: u64, report: &StepReport) -> String {
        let mut parts: Vec<String> = self.left(done).into_iter().collect();
        parts.push(format!("loss {:.4}", report.loss));
        parts.push(format!("lr {:.2e}", report.lr));
        parts.extend(self.pace.images_per_s(&self.config.train).map(|rate| format!("{rate:.1} images/s")));
        parts.join("  ")
    }

    fn left(&self, done: u64) -> Option<String> {
        let left = self.pace.left(done, &self.config.train)?;
        Some(format!("{} left", progress::duration(left)))
    }

    /// Seconds since the last step, grid or evaluation; the next one begins.
    fn lap(&mut self) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        seconds
    }
}

impl Observer for Watch {
    fn on_step(&mut self, done: u64, report: &StepReport) {
        let seconds = self.lap();
        self.pace.step(seconds);
        self.bar.set_position(done);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.state(done, report));
        }
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
        let _ = self.lap();
        self.draw(done, ema)?;
        let seconds = self.lap();
        self.pace.grid(seconds);
        Ok(())
    }

    fn on_evaluate(&mut self, done: u64, ema: &[Named], checkpoint: &Checkpoint) -> Result<(), BoxError> {
        let _ = self.lap();
        self.evaluate(done, ema, checkpoint)?;
        let seconds = self.lap();
        self.pace.evaluation(seconds);
        Ok(())
    }

    fn has_evaluation(&self, done: u64) -> bool {
        // An unreadable file is reported when it is written to.
        read_evaluations(self.claim.path())
            .is_ok_and(|records| records.iter().any(|record| record.step == done))
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

/// An evaluation in one line.
fn record_text(record: &EvaluationRecord) -> String {
    let mut parts = vec![files::counted(record.n, "sample")];
    if let Some(distance) = &record.distance {
        let of = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        parts.push(format!("{distance} {} to train, {} to test", of(record.fd_train), of(record.fd_test)));
    }
    parts.extend(record.held_out_loss.map(|loss| format!("held-out loss {loss:.4}")));
    parts.push(format!("{:.0} s", record.seconds));
    parts.join(", ")
}
