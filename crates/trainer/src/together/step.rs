//! A step of several ranks.

use tch::Tensor;

use super::Together;
use crate::algorithm::{Losses, Watch};
use crate::clip::{clip_factor, grad_norm};
use crate::draw::{Draw, Share};
use crate::ema::Ema;
use crate::error::TrainerError;
use crate::phase::Phase;
use crate::step::{Batch, Model, StepReport, Trainer, check_finite};

/// Adds up this rank's part of the loss. Whether it is finite is decided together, after the backward pass.
struct Summing<'a> {
    loss: f64,
    /// NaN if a test asks for a fault, otherwise 0.
    fault: f64,
    on_end: &'a mut dyn FnMut(Phase),
}

impl Watch for Summing<'_> {
    fn on_end(&mut self, phase: Phase) {
        (self.on_end)(phase);
    }

    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError> {
        self.loss += f64::try_from(&mean)? * share + self.fault;
        Ok(mean.f_mul_scalar(share)?)
    }
}

impl Trainer {
    /// [`Trainer::train_step`] on this rank's share of the batch, or its failure to get one. The report is that of the whole
    /// batch and the same on all ranks. If any rank fails, all do, and no parameter has changed, unless it was the update that
    /// failed.
    pub(crate) fn step_together(
        &mut self,
        together: &Together,
        batch: Result<&Batch, &TrainerError>,
        model: &Model<'_>,
        on_end: &mut dyn FnMut(Phase),
    ) -> Result<StepReport, TrainerError> {
        let (step, lr) = (self.step, self.lr());
        let mut summing = Summing { loss: 0.0, fault: f64::from(Self::fault_at(step)), on_end };
        let (own, told) = match batch {
            Ok(batch) => {
                // This rank's part of the gradient, left in the parameters.
                let own = self.draw(step, batch);
                let own = own.and_then(|on_host| self.gradient_of(&on_host, model, &mut summing));
                let loss = together.loss(step, own.as_ref().map(|_| summing.loss));
                (Some(own), loss)
            }
            Err(error) => (None, together.loss(step, Err(error))),
        };
        let Losses { each, weighted } = match own.transpose()? {
            Some(losses) => losses,
            None => return Err(told.err().unwrap_or_else(|| self.failed(step))),
        };
        let loss = told?;
        check_finite("the loss", loss, (step, lr))?;

        let share = self.share(each.size()[0] as usize);
        let losses = together.losses(&share, (&each, &weighted))?;
        together.sum_gradients(&self.params)?;
        (summing.on_end)(Phase::Reduction);
        // Equal on all ranks, but on processors of different kinds up to rounding only.
        let grad_norm = together.of_first("the gradient norm", grad_norm(&self.params)?)?;
        check_finite("the gradient norm", grad_norm, (step, lr))?;

        let on_end = summing.on_end;
        let updated = self.adam.step(lr, clip_factor(grad_norm, self.config.grad_clip), &self.config);
        match &together.shares {
            Some(shares) => together.exchange_weights(step, updated, shares, self.adam.params())?,
            None => updated?,
        }
        on_end(Phase::Optimizer);
        if self.is_first() {
            self.ema.update(Ema::decay_at(&self.config, step))?;
            self.averages.update(&self.config, step)?;
        }
        on_end(Phase::Average);
        // The levels of all images; their noise is not needed any more.
        let (whole, place) = (Share::whole(share.of), (self.seed, step));
        let draw = Draw::new(&*self.path, &self.config, &self.history, (&whole, 0), place)?;
        Ok(self.done(step, (loss, grad_norm, lr), (&draw.levels, &draw.oversampled), losses))
    }

    fn failed(&self, step: u64) -> TrainerError {
        TrainerError::OtherRank { rank: self.rank(), failure: "failed", step }
    }
}
