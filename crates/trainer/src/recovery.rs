//! What a run does about a step whose loss or gradients are not finite, and what it has done so far.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Steps passed over one after the other before a run gives up: the weights are beyond help then.
pub(crate) const MAX_IN_A_ROW: u32 = 10;
/// Times a run goes back before it gives up: the learning rate is a 32nd by then.
pub(crate) const MAX_ROLLBACKS: u32 = 5;

/// What was done about steps that were not finite. Part of a checkpoint, so that a resumed run does the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Times the run went back to a checkpoint.
    pub rollbacks: u32,
    /// Steps that it passes over since then: they were the ones that failed.
    pub passed_over: BTreeSet<u64>,
    /// Steps passed over since the last that was done.
    pub in_a_row: u32,
}

impl Recovery {
    /// Each time a run goes back it goes on with half of the learning rate.
    #[must_use]
    pub fn lr_scale(&self) -> f64 {
        0.5_f64.powi(self.rollbacks.min(1000) as i32)
    }

    /// The same after `step` has failed and the run went back.
    pub(crate) fn after_rollback(&self, step: u64) -> Self {
        let mut passed_over = self.passed_over.clone();
        passed_over.insert(step);
        Self { rollbacks: self.rollbacks + 1, passed_over, in_a_row: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_halves_the_learning_rate_and_passes_over_one_more() {
        let first = Recovery::default();
        assert_eq!(first.lr_scale(), 1.0);
        let second = first.after_rollback(7).after_rollback(5);
        assert_eq!((second.lr_scale(), second.passed_over), (0.25, BTreeSet::from([5, 7])));
    }
}
