//! The loop of the ranks that do not write: they take the same steps as rank 0 in [`crate::Fit`] and wait while it works alone.

use std::sync::atomic::{AtomicBool, Ordering};

use config::OnNan;
use tracing::warn;

use crate::due::Due;
use crate::error::{BoxError, TrainerError};
use crate::fit::{Observer, Outcome};
use crate::recovery::{Attempt, Step, attempt};
use crate::step::{Batch, Model, Trainer};

/// A run as the ranks above 0 see it. They have no folder.
pub struct Follow<'a> {
    /// Set from a signal handler: all ranks finish the current step, rank 0 saves, and the run ends.
    pub stop: &'a AtomicBool,
}

impl Follow<'_> {
    /// Trains until rank 0 ends. `batch` returns this rank's share of the images of a step. Of `observer`, only
    /// [`Observer::on_step`] is called.
    ///
    /// # Errors
    /// As [`crate::Fit::run`]; also when another rank fails or has gone.
    pub fn run(
        &self,
        trainer: &mut Trainer,
        mut batch: impl FnMut(u64) -> Result<Batch, BoxError>,
        model: &Model<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainerError> {
        let config = trainer.config().clone();
        let due = Due(&config);
        let stop = || self.stop.load(Ordering::Relaxed);
        if config.on_nan == OnNan::Rollback && trainer.steps_done() == 0 {
            let _ = trainer.state_to_save()?;
        }
        trainer.wait()?;
        while trainer.steps_done() < config.steps {
            match step(trainer, &mut batch, model)? {
                Step::Done(report) => observer.on_step(trainer.steps_done(), &report),
                Step::PassedOver => {}
                Step::WentBack => continue,
            }
            let done = trainer.steps_done();
            let mut stops = trainer.any(stop())?;
            let saves = due.saves(done, stops);
            if saves {
                let _ = trainer.state_to_save()?;
                stops = trainer.any_after_work(stop())?;
            }
            if due.draws(done, stops) {
                stops = trainer.any_after_work(stop())?;
                if stops && !saves {
                    let _ = trainer.state_to_save()?;
                }
            }
            if stops && done != config.steps {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }
}

/// One step, or what rank 0 does if it is not finite.
fn step(
    trainer: &mut Trainer,
    batch: &mut dyn FnMut(u64) -> Result<Batch, BoxError>,
    model: &Model<'_>,
) -> Result<Step, TrainerError> {
    match attempt(trainer, |trainer| trainer.train_step_ahead(&mut None, false, batch, model))? {
        Attempt::Ended(step) => Ok(step),
        Attempt::GoBack(error) => {
            trainer.share_state(None)?;
            warn!("back to step {}: {error}", trainer.steps_done());
            Ok(Step::WentBack)
        }
    }
}
