//! Sums of gradients that begin while the backward pass still computes others.
//!
//! Gradients come from the last layer to the first, so the last bucket is summed first. All ranks begin the same sums in the
//! same order, whatever happens on one of them: a bucket begins in the pass or after it, and a rank that has failed sends
//! zeros for what it has not begun. The gradients keep this rank's part until all ranks are known to be fine.

use tch::Tensor;
use tensor_io::Named;
use torch_ext::backward_in_buckets;

use super::Together;
use super::gradients::{Group, Sent};
use crate::error::TrainerError;

/// The sums of a step.
pub(super) struct Early<'a> {
    together: &'a Together,
    /// In the order of their sums.
    groups: Vec<Group>,
    /// The sums of the first of them, which have begun.
    sent: Vec<Sent<'a>>,
    is_late: bool,
}

impl Together {
    /// The sums of a step before any has begun; none if they come after the backward pass.
    pub(super) fn early(&self, params: &[Named]) -> Option<Early<'_>> {
        self.reduction.overlap.then(|| {
            let mut groups = self.groups(params);
            groups.reverse();
            Early { together: self, groups, sent: Vec::new(), is_late: false }
        })
    }
}

impl Early<'_> {
    /// The last backward pass of a step. Each sum begins as soon as its gradients are there and those before it have begun.
    pub(super) fn backward(&mut self, loss: &Tensor) -> Result<(), TrainerError> {
        let handles = |group: &Group| group.params.iter().map(|(_, param)| param.shallow_clone()).collect();
        let buckets: Vec<Vec<Tensor>> = self.groups.iter().map(handles).collect();
        let mut begin = |_: usize| self.begin_next();
        let late = backward_in_buckets(&buckets, &mut begin, || Ok(loss.f_backward()?))?;
        self.is_late = late > 0;
        Ok(())
    }

    /// Begins the sums that no backward pass has begun, because it does not reach all their parameters.
    pub(super) fn begin_rest(&mut self) -> Result<(), TrainerError> {
        (self.sent.len()..self.groups.len()).try_for_each(|_| self.begin_next())
    }

    fn begin_next(&mut self) -> Result<(), TrainerError> {
        let sent = self.together.send(&self.groups[self.sent.len()])?;
        self.sent.push(sent);
        Ok(())
    }

    /// Takes part in the sums that have not begun, on a rank that has failed: the others wait for them. One after the other, since
    /// memory may be what is missing.
    pub(super) fn give_up(self) -> Result<(), TrainerError> {
        let Self { together, groups, sent, .. } = self;
        let begun = sent.len();
        drop(sent);
        groups[begun..].iter().try_for_each(|group| together.sum_zeros(group))
    }

    /// Whether a gradient grew after its sum had begun, so that the sums are of no use.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Replaces the gradients of the parameters by their sums. All have begun. If gradients were late on any rank, they are summed
    /// again.
    pub(super) fn finish(self, is_late: bool) -> Result<(), TrainerError> {
        let Self { together, groups, sent, .. } = self;
        if is_late {
            drop(sent);
            return together.sum_gradients(&groups);
        }
        groups.iter().zip(sent).try_for_each(|(group, sent)| together.receive(group, sent))
    }
}
