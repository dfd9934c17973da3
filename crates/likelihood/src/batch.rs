//! Inputs and progress reports of both likelihoods.

use std::ops::ControlFlow;

use tch::Tensor;

use crate::error::{BoxError, LikelihoodError};
use crate::summary::Summary;

/// Images, and labels if the network takes any.
#[derive(Debug)]
pub struct Batch {
    /// `[b, c, h, w]` on the network's device: u8, or f32 or f64 in [-1, 1]. With f64 the network gets f64, else f32.
    pub images: Tensor,
    /// `[b]` i64, or whatever else the network takes per image.
    pub labels: Option<Tensor>,
}

/// Progress of a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Images of the batches before this one.
    pub images: usize,
    /// Images of this batch.
    pub batch: usize,
    /// Steps of this batch that are done, from 1. On a GPU the last of them may still be running.
    pub step: usize,
    /// Steps per batch. A step is one call of the network for [`crate::bound`], and two or a few for [`crate::ode`].
    pub of: usize,
}

/// Called after each step. [`ControlFlow::Break`] stops the work and returns the result of the batches before; an
/// error stops it and is passed on.
pub type Observer<'a> = dyn FnMut(&Progress) -> Result<ControlFlow<()>, BoxError> + 'a;

/// The value of a batch, or that it was stopped.
pub(crate) type Stoppable<T> = ControlFlow<(), T>;

/// Reports the steps of one batch to an observer.
pub(crate) struct Steps<'a, 'b> {
    pub(crate) progress: Progress,
    pub(crate) on_step: &'a mut Observer<'b>,
}

impl Steps<'_, '_> {
    /// Reports that another step is done.
    pub(crate) fn done(&mut self) -> Result<ControlFlow<()>, LikelihoodError> {
        self.progress.step += 1;
        (self.on_step)(&self.progress).map_err(LikelihoodError::Caller)
    }
}

/// Checks the values `[b]` of a batch and appends them to those of the set.
pub(crate) fn append(set: &mut Vec<f64>, values: &[f64], first: u64) -> Result<(), LikelihoodError> {
    let wrong = values.iter().filter(|value| !value.is_finite()).count();
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(LikelihoodError::NonFinite {
            images: wrong,
            of: values.len(),
            first: first.wrapping_add(place as u64),
        });
    }
    set.extend_from_slice(values);
    Ok(())
}

/// The summary of a set.
pub(crate) fn summary(set: Vec<f64>) -> Result<Summary, LikelihoodError> {
    if set.is_empty() { Err(LikelihoodError::NoImages) } else { Ok(Summary::of(set)) }
}
