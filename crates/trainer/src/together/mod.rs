//! Several ranks that train one network: each computes the gradient on its share of every batch, and all take the same step.
//!
//! Draws depend on an image's place in the whole batch, so ranks compute what one process would, up to the order of sums.
//! What decides the course of the run is decided together: the loss and whether it is finite, the gradient norm, failures
//! and stops. Rank 0 alone keeps the averages and writes. The state of Adam may be divided over the ranks.

mod divided;
mod early;
mod gradients;
mod outcome;
mod shares;
mod state;
mod step;

use std::ops::Range;
use std::sync::Arc;

use config::{Optimizer, Pairing};
use tch::{Device, Kind, Tensor};

use crate::averages::Averages;
use crate::draw::Share;
use crate::ema::Ema;
use crate::error::{BoxError, TrainerError};
use crate::step::Trainer;

/// The connection between ranks, which the program provides. All ranks call the same operations in the same order; `what`
/// names one in errors.
pub trait Reduce: Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn size(&self) -> usize;

    /// Where large tensors travel best: on the device of this rank if the ranks sum between GPUs. Other tensors are summed and sent
    /// as well, but all ranks must have those of one operation on the same kind of device.
    fn device(&self) -> Device {
        Device::Cpu
    }

    /// Sums a contiguous tensor (f32, bf16 or f64) over all ranks in place; all get the same bits.
    ///
    /// # Errors
    /// Another rank has gone or is late.
    fn sum(&self, what: &'static str, x: &mut Tensor) -> Result<(), BoxError>;

    /// Begins [`Reduce::sum`] of a tensor whose memory nothing else uses, and returns what waits for the result, which may be
    /// in host memory. Sums end in the order in which they are begun, also those for which nobody waits. The call may come from
    /// the thread of a backward pass. By default the sum is computed at once.
    ///
    /// # Errors
    /// As [`Reduce::sum`].
    fn begin_sum(&self, what: &'static str, mut x: Tensor) -> Result<Begun<'_>, BoxError> {
        self.sum(what, &mut x)?;
        Ok(Box::new(move || Ok(x)))
    }

    /// Overwrites a tensor with that of rank `from`.
    ///
    /// # Errors
    /// As [`Reduce::sum`].
    fn broadcast(&self, what: &'static str, from: usize, x: &mut Tensor) -> Result<(), BoxError>;

    /// The bytes of every rank, in their order.
    ///
    /// # Errors
    /// As [`Reduce::sum`].
    fn gather(&self, what: &'static str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BoxError>;

    /// Waits for all ranks, longer than the other operations: rank 0 may be saving or sampling.
    ///
    /// # Errors
    /// As [`Reduce::sum`].
    fn wait(&self, what: &'static str) -> Result<(), BoxError>;
}

/// Waits for a sum that [`Reduce::begin_sum`] has begun, and returns it. A sum may begin on the thread of a backward pass.
pub type Begun<'a> = Box<dyn FnOnce() -> Result<Tensor, BoxError> + Send + 'a>;

/// How gradients are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduction {
    /// Gradients are sent in buffers of about this many bytes.
    pub bucket: usize,
    /// Whether they are rounded to bf16 for it: half the traffic, 8 bits of the fraction.
    pub bf16: bool,
    /// Whether sums begin while the backward pass runs. All buffers then exist at a time, otherwise two. The bits of the result
    /// are the same. All ranks must have the same value.
    pub overlap: bool,
}

impl Default for Reduction {
    /// f32, 32 MiB at a time, during the backward pass.
    fn default() -> Self {
        Self { bucket: 32 << 20, bf16: false, overlap: true }
    }
}

/// The other ranks of a trainer.
#[derive(Clone)]
pub(crate) struct Together {
    ranks: Arc<dyn Reduce>,
    reduction: Reduction,
    /// The parameters that each rank updates, if the state of Adam is divided.
    shares: Option<Arc<[Range<usize>]>>,
}

impl Together {
    fn sum(&self, what: &'static str, numbers: &[f64]) -> Result<Vec<f64>, TrainerError> {
        let mut x = Tensor::f_from_slice(numbers)?;
        self.ranks.sum(what, &mut x).map_err(TrainerError::Caller)?;
        Ok(Vec::try_from(x)?)
    }
}

impl Trainer {
    /// Trains together with other ranks from here on: every batch is this rank's share of the whole batch, and all shares
    /// are equally large. [`Trainer::share_state`] must come before the first step. Ranks above 0 drop their averages. With a
    /// single rank nothing changes.
    ///
    /// With Muon this also divides the state, see [`Trainer::divide_state`]: its products take long, and with other threads or
    /// another processor they have other bits, so each matrix is updated on one rank only.
    ///
    /// # Errors
    /// [`TrainerError::OptimalPairing`] for a setting that needs the whole batch; errors from libtorch.
    pub fn join(&mut self, ranks: Arc<dyn Reduce>, reduction: Reduction) -> Result<(), TrainerError> {
        if ranks.size() == 1 {
            return Ok(());
        }
        if self.config.pairing == Pairing::Optimal {
            return Err(TrainerError::OptimalPairing);
        }
        if ranks.rank() > 0 {
            (self.ema, self.averages) = (Ema::new(&[])?, Averages::new(&self.config, &[], &[])?);
        }
        self.together = Some(Together { ranks, reduction, shares: None });
        if self.config.optimizer == Optimizer::Muon { self.divide_state() } else { Ok(()) }
    }

    /// Sums gradients after the backward pass from here on, as with [`Reduction::overlap`] off: on all ranks or none.
    pub fn sum_after_backward(&mut self) {
        if let Some(together) = &mut self.together {
            together.reduction.overlap = false;
        }
    }

    /// The number of this rank, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.together.as_ref().map_or(0, |together| together.ranks.rank())
    }

    /// Number of ranks that train together.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.together.as_ref().map_or(1, |together| together.ranks.size())
    }

    /// Whether this rank keeps the averages and writes.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// This rank's place in the whole batch, if it has `images` of it.
    pub(crate) fn share(&self, images: usize) -> Share {
        Share::of_rank(self.rank(), self.ranks(), images)
    }

    /// Whether any rank says yes.
    pub(crate) fn any(&self, own: bool) -> Result<bool, TrainerError> {
        let Some(together) = &self.together else { return Ok(own) };
        Ok(together.sum("the decision to stop", &[f64::from(u8::from(own))])?[0] > 0.0)
    }

    /// The largest of the numbers of all ranks, which ask for it at the same point of the run; `what` names it in errors.
    ///
    /// # Errors
    /// Another rank has gone or is late.
    pub fn largest(&self, what: &'static str, own: u8) -> Result<u8, TrainerError> {
        let Some(together) = &self.together else { return Ok(own) };
        let all = together.ranks.gather(what, &[own]).map_err(TrainerError::Caller)?;
        Ok(all.into_iter().flatten().fold(own, u8::max))
    }

    /// [`Trainer::any`] after work that only rank 0 does, for which the others wait.
    pub(crate) fn any_after_work(&self, own: bool) -> Result<bool, TrainerError> {
        self.wait()?;
        self.any(own)
    }

    /// Waits until rank 0 has done what only it does.
    pub(crate) fn wait(&self) -> Result<(), TrainerError> {
        let Some(together) = &self.together else { return Ok(()) };
        together.ranks.wait("the work of rank 0").map_err(TrainerError::Caller)
    }
}

/// The type in which a gradient of this type is sent.
fn sent_as(kind: Kind, reduction: Reduction) -> Kind {
    if reduction.bf16 && kind == Kind::Float { Kind::BFloat16 } else { kind }
}
