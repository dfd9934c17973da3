//! The loop of a run: steps, log lines, samples, checkpoints, and a clean end on request.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use checkpoints::CheckpointError;
use config::OnNan;
use tensor_io::Named;
use tracing::{info, warn};

use crate::ahead::Queued;
use crate::averages::{remove_after, write_snapshot};
use crate::checkpoint::Checkpoint;
use crate::due::Due;
use crate::error::{BoxError, TrainerError};
use crate::metrics::{Interval, Record};
use crate::recovery::{Attempt, Step, attempt};
use crate::run_folder::RunFolder;
use crate::step::{Batch, Model, StepReport, Trainer};

/// Most damaged checkpoints to name when they are skipped.
const REFUSED_SHOWN: usize = 3;

/// Observes a run: progress bars, event files, sample grids.
pub trait Observer {
    /// Called after every step; `done` counts from 1.
    fn on_step(&mut self, _done: u64, _report: &StepReport) {}
    /// Called after a line of `metrics.jsonl`.
    ///
    /// # Errors
    /// Any error; it stops the run.
    fn on_log(&mut self, _record: &Record) -> Result<(), BoxError> {
        Ok(())
    }
    /// Called with the averaged weights when samples are due. An observer that is asked to stop meanwhile may skip them:
    /// they are requested again when the run continues, see [`Observer::has_samples`].
    ///
    /// # Errors
    /// Any error; it stops the run.
    fn on_sample(&mut self, _done: u64, _ema: &[Named]) -> Result<(), BoxError> {
        Ok(())
    }
    /// Called when an evaluation is due, after the checkpoint of the step was saved. An observer that is asked to stop
    /// meanwhile may skip it: it is requested again when the run continues, see [`Observer::has_evaluation`].
    ///
    /// # Errors
    /// Any error; it stops the run.
    fn on_evaluate(&mut self, _done: u64, _ema: &[Named], _checkpoint: &Checkpoint) -> Result<(), BoxError> {
        Ok(())
    }
    /// Whether the evaluation of a step exists.
    fn has_evaluation(&self, _done: u64) -> bool {
        true
    }
    /// Whether the samples of a step exist. A run that was stopped between a checkpoint and the samples of its step
    /// draws them when it continues.
    fn has_samples(&self, _done: u64) -> bool {
        true
    }
    /// Called when the trainer has gone back to the checkpoint of a step: reports of later steps are no longer valid.
    ///
    /// # Errors
    /// Any error; it stops the run.
    fn on_rollback(&mut self, _to: u64) -> Result<(), BoxError> {
        Ok(())
    }
    /// Called after a checkpoint.
    fn on_checkpoint(&mut self, _path: &Path) {}
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The run was asked to stop, and saved.
    Stopped,
}

/// A run in its folder. If several ranks train, it is that of rank 0; the others [`crate::Follow`].
pub struct Fit<'a> {
    /// The run's folder, locked.
    pub folder: &'a RunFolder,
    /// The resolved configuration as TOML, kept in every checkpoint.
    pub config: &'a str,
    /// Set from a signal handler: the current step is finished and saved, then the run ends.
    pub stop: &'a AtomicBool,
}

impl Fit<'_> {
    /// The newest checkpoint that verifies, if there is one. Only leftovers of killed processes are removed.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`] when there are checkpoints but none verifies, since a run must not start over on
    /// top of them; also when one that may be valid cannot be read.
    pub fn newest(&self) -> Result<Option<Checkpoint>, TrainerError> {
        self.folder.check()?;
        let checkpoints = self.folder.checkpoints();
        checkpoints::remove_leftovers(&checkpoints)?;
        let (latest, refused) = checkpoints::latest(&checkpoints)?;
        let Some(latest) = latest else {
            let count = refused.len();
            return match refused.into_iter().next() {
                Some(newest) => {
                    let newest = Box::new(newest);
                    Err(CheckpointError::NoneSound { path: checkpoints, count, newest }.into())
                }
                None => Ok(None),
            };
        };
        for error in refused.iter().take(REFUSED_SHOWN) {
            warn!("skipping a damaged checkpoint: {error}");
        }
        if refused.len() > REFUSED_SHOWN {
            warn!("skipping {}", files::counted(refused.len() - REFUSED_SHOWN, "more damaged checkpoint"));
        }
        Ok(Some(latest.into()))
    }

    /// Restores the trainer from a checkpoint found by [`Fit::newest`], or leaves it at the beginning. Returns the
    /// checkpoint's sums since the last log line. Drops log lines written after it, and renames later damaged checkpoints
    /// to `damaged-step-N`.
    ///
    /// # Errors
    /// [`TrainerError`] when the checkpoint does not fit the trainer.
    pub fn restore(
        &self,
        trainer: &mut Trainer,
        newest: Option<&Checkpoint>,
    ) -> Result<Option<Interval>, TrainerError> {
        if !trainer.averages.snapshot().is_empty() {
            // Report a folder that cannot be made before training starts.
            let folder = self.folder.averages();
            files::make_folder(&folder).map_err(TrainerError::file(&folder))?;
        }
        let Some(newest) = newest else {
            // The run may have died after its first log line and before its first checkpoint.
            self.folder.drop_records_after(0)?;
            self.folder.drop_events_after(0)?;
            remove_after(&self.folder.averages(), 0)?;
            return Ok(None);
        };
        let interval = newest.restore(trainer)?;
        let step = trainer.steps_done();
        checkpoints::set_aside_after(&self.folder.checkpoints(), step)?;
        self.folder.drop_records_after(step)?;
        self.folder.drop_events_after(step)?;
        remove_after(&self.folder.averages(), step)?;
        info!(step, "resumed");
        Ok(Some(interval))
    }

    /// [`Fit::newest`] and [`Fit::restore`].
    ///
    /// # Errors
    /// Those of both.
    pub fn resume(&self, trainer: &mut Trainer) -> Result<Option<Interval>, TrainerError> {
        let newest = self.newest()?;
        self.restore(trainer, newest.as_ref())
    }

    /// Trains until all steps are done or a stop is requested. `batch` returns the images of a step. It must depend on
    /// the step alone, or a resumed run differs from an uninterrupted one.
    ///
    /// # Errors
    /// [`TrainerError::NonFinite`] when training diverges and [`OnNan`] does not help or no longer helps; nothing of
    /// the diverged step is saved. Errors of the data, the network, the observer and the disk.
    pub fn run(
        &self,
        trainer: &mut Trainer,
        mut interval: Interval,
        mut batch: impl FnMut(u64) -> Result<Batch, BoxError>,
        model: &Model<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainerError> {
        let config = trainer.config().clone();
        let due = Due(&config);
        let first = trainer.steps_done();
        if first > 0
            && due.evaluation(first)
            && !observer.has_evaluation(first)
            && let Some(newest) = self.newest()?.filter(|newest| newest.state.step == first)
        {
            observer.on_evaluate(first, trainer.ema_weights(), &newest).map_err(TrainerError::Caller)?;
        }
        if first > 0 && due.samples(first) && !observer.has_samples(first) {
            observer.on_sample(first, trainer.ema_weights()).map_err(TrainerError::Caller)?;
        }
        if config.on_nan == OnNan::Rollback && trainer.steps_done() == 0 {
            // There must be a checkpoint to go back to.
            self.save(trainer, &interval, observer)?;
        }
        trainer.wait()?;
        let mut clock = (Instant::now(), 0);
        let mut queued = None;
        while trainer.steps_done() < config.steps {
            let lr = trainer.lr();
            let report = match self.step(trainer, &mut interval, &mut queued, &mut batch, model)? {
                Step::Done(report) => Some(report),
                Step::PassedOver => None,
                Step::WentBack => {
                    observer.on_rollback(trainer.steps_done()).map_err(TrainerError::Caller)?;
                    continue;
                }
            };
            let done = trainer.steps_done();
            if let Some(report) = &report {
                interval.add(report, trainer.timesteps());
                observer.on_step(done, report);
                clock.1 += report.t.len();
            }

            let last = done == config.steps;
            // If all steps were skipped there is nothing to report.
            if (last || done.is_multiple_of(config.log_every)) && !interval.is_empty() {
                let images_per_s = clock.1 as f64 / clock.0.elapsed().as_secs_f64().max(1e-9);
                let record = interval.finish(done, lr, images_per_s);
                self.folder.append_record(&record)?;
                observer.on_log(&record).map_err(TrainerError::Caller)?;
                clock = (Instant::now(), 0);
            }
            // If a step is queued, the weights already include it, so it is finished first.
            let mut stop = trainer.any(self.stop.load(Ordering::Relaxed))? && queued.is_none();
            let evaluates = due.evaluates(done, stop);
            let saves = due.saves(done, stop);
            if saves {
                let begun = Instant::now();
                let saved = self.save(trainer, &interval, observer)?;
                if evaluates {
                    observer
                        .on_evaluate(done, trainer.ema_weights(), &saved)
                        .map_err(TrainerError::Caller)?;
                }
                if evaluates || trainer.ranks() > 1 {
                    stop = trainer.any_after_work(self.stop.load(Ordering::Relaxed))?;
                }
                clock.0 += begun.elapsed();
            }
            if due.draws(done, stop) {
                let begun = Instant::now();
                observer.on_sample(done, trainer.ema_weights()).map_err(TrainerError::Caller)?;
                clock.0 += begun.elapsed();
                // Samples take a while, and an observer may abandon them for a stop.
                stop = trainer.any_after_work(self.stop.load(Ordering::Relaxed))?;
                if stop && !saves {
                    self.save(trainer, &interval, observer)?;
                }
            }
            if stop && !last {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// One step, or the recovery if it is not finite.
    fn step(
        &self,
        trainer: &mut Trainer,
        interval: &mut Interval,
        queued: &mut Option<Queued>,
        batch: &mut dyn FnMut(u64) -> Result<Batch, BoxError>,
        model: &Model<'_>,
    ) -> Result<Step, TrainerError> {
        let step = trainer.steps_done();
        let report = |trainer: &mut Trainer| self.report(trainer, queued, batch, model);
        let error = match attempt(trainer, report)? {
            Attempt::Ended(step) => return Ok(step),
            Attempt::GoBack(error) => error,
        };
        *queued = None;
        let recovery = trainer.recovery.after_rollback(step);
        let (latest, _) = checkpoints::latest(&self.folder.checkpoints())?;
        // There is none only if someone removed all checkpoints.
        let Some(latest) = latest else { return Err(error) };
        *interval = Checkpoint::from(latest).restore(trainer)?;
        trainer.recovery = recovery;
        trainer.share_state(None)?;
        self.folder.drop_records_after(trainer.steps_done())?;
        let (to, scale) = (trainer.steps_done(), trainer.recovery.lr_scale());
        warn!("back to step {to}, with {scale} of the learning rate and without step {step}: {error}");
        Ok(Step::WentBack)
    }

    /// The result of the next step. The step after it may already be queued, unless something that reads the weights is
    /// due between the two.
    fn report(
        &self,
        trainer: &mut Trainer,
        queued: &mut Option<Queued>,
        batch: &mut dyn FnMut(u64) -> Result<Batch, BoxError>,
        model: &Model<'_>,
    ) -> Result<StepReport, TrainerError> {
        let next = trainer.steps_done() + 1;
        let config = trainer.config();
        let due = Due(config);
        let pause = due.saves(next, false)
            || due.samples(next)
            || trainer.recovery.passed_over.contains(&next)
            || self.stop.load(Ordering::Relaxed);
        trainer.train_step_ahead(queued, !pause, batch, model)
    }

    fn save(
        &self,
        trainer: &Trainer,
        interval: &Interval,
        observer: &mut dyn Observer,
    ) -> Result<Checkpoint, TrainerError> {
        let optimizer = trainer.state_to_save()?;
        self.folder.check()?;
        let checkpoints = self.folder.checkpoints();
        let snapshot = trainer.averages.snapshot();
        if !snapshot.is_empty() {
            write_snapshot(&self.folder.averages(), trainer.steps_done(), &snapshot)?;
        }
        let saved = Checkpoint::write_with(&checkpoints, trainer, &optimizer, interval, self.config)?;
        checkpoints::rotate(&checkpoints, trainer.config().keep_checkpoints, Some(saved.state.step))?;
        observer.on_checkpoint(&saved.path);
        Ok(saved)
    }
}
