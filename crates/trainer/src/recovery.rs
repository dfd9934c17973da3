//! Recovery from steps whose loss or gradients are not finite.

use std::collections::BTreeSet;

use config::OnNan;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::error::TrainerError;
use crate::step::{StepReport, Trainer};

/// Consecutive skipped steps after which a run gives up, since the weights are then beyond recovery.
const MAX_IN_A_ROW: u32 = 10;
/// Rollbacks after which a run gives up; the learning rate is then a 32nd.
const MAX_ROLLBACKS: u32 = 5;

/// What was done about steps that were not finite. It is part of a checkpoint, so that a resumed run does the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Times the run went back to a checkpoint.
    pub rollbacks: u32,
    /// Steps to skip since then, because they failed.
    pub passed_over: BTreeSet<u64>,
    /// Steps skipped since the last completed one.
    pub in_a_row: u32,
}

impl Recovery {
    /// The scale of the learning rate: every rollback halves it.
    #[must_use]
    pub fn lr_scale(&self) -> f64 {
        0.5_f64.powi(self.rollbacks.min(1000) as i32)
    }

    /// The state after `step` failed and the run went back.
    pub(crate) fn after_rollback(&self, step: u64) -> Self {
        let mut passed_over = self.passed_over.clone();
        passed_over.insert(step);
        Self { rollbacks: self.rollbacks + 1, passed_over, in_a_row: 0 }
    }
}

/// The outcome of a step.
pub(crate) enum Step {
    Done(StepReport),
    PassedOver,
    /// The trainer went back to an earlier step.
    WentBack,
}

/// The outcome of trying a step.
pub(crate) enum Attempt {
    Ended(Step),
    /// The step is not finite, and the run has to go back to a checkpoint.
    GoBack(TrainerError),
}

/// Takes a step, unless it is one to pass over. One that is not finite is skipped, or ends the run, or makes it go back.
pub(crate) fn attempt(
    trainer: &mut Trainer,
    report: impl FnOnce(&mut Trainer) -> Result<StepReport, TrainerError>,
) -> Result<Attempt, TrainerError> {
    let step = trainer.steps_done();
    if trainer.recovery.passed_over.contains(&step) {
        trainer.pass_over();
        return Ok(Attempt::Ended(Step::PassedOver));
    }
    let error = match report(trainer) {
        Ok(report) => return Ok(Attempt::Ended(Step::Done(report))),
        Err(error @ TrainerError::NonFinite { .. }) => error,
        Err(error) => return Err(error),
    };
    match trainer.config().on_nan {
        OnNan::Skip if trainer.recovery.in_a_row < MAX_IN_A_ROW => {
            trainer.pass_over();
            warn!("skipping step {step}: {error}");
            Ok(Attempt::Ended(Step::PassedOver))
        }
        OnNan::Rollback if trainer.recovery.rollbacks < MAX_ROLLBACKS => Ok(Attempt::GoBack(error)),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rollback_halves_the_learning_rate_and_skips_one_more() {
        let first = Recovery::default();
        assert_eq!(first.lr_scale(), 1.0);
        let second = first.after_rollback(7).after_rollback(5);
        assert_eq!((second.lr_scale(), second.passed_over), (0.25, BTreeSet::from([5, 7])));
    }
}
