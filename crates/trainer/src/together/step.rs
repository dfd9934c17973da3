//! A step of several ranks.

use tch::Tensor;

use super::Together;
use super::early::Early;
use crate::algorithm::{Losses, Watch};
use crate::clip::{clip_factor, grad_norm};
use crate::draw::{Draw, Share};
use crate::ema::Ema;
use crate::error::TrainerError;
use crate::phase::Phase;
use crate::step::{Batch, Model, StepReport, Trainer, check_finite};

/// Adds up this rank's part of the loss. Whether it is finite is decided together, after the backward pass.
struct Summing<'a, 'b> {
    loss: f64,
    /// NaN if a test asks for a fault, otherwise 0.
    fault: f64,
    /// The sums that begin in the last backward pass, if any do.
    early: Option<&'a mut Early<'b>>,
    on_end: &'a mut dyn FnMut(Phase),
}

impl Watch for Summing<'_, '_> {
    fn on_end(&mut self, phase: Phase) {
        (self.on_end)(phase);
    }

    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError> {
        self.loss += f64::try_from(&mean)? * share + self.fault;
        Ok(mean.f_mul_scalar(share)?)
    }

    fn backward(&mut self, loss: &Tensor, is_last: bool) -> Result<(), TrainerError> {
        match &mut self.early {
            Some(early) if is_last => early.backward(loss),
            _ => Ok(loss.f_backward()?),
        }
    }
}

impl Trainer {
    /// [`Trainer::train_step`] on this rank's share of the batch, or its failure to get one. The report is that of the whole
    /// batch and the same on all ranks. If any rank fails, all do, and no parameter has changed, unless it was the update that
    /// failed.
    pub(crate) fn step_together(
        &mut self,
        together: &Together,
        batch: Result<&Batch, TrainerError>,
        model: &Model<'_>,
        on_end: &mut dyn FnMut(Phase),
    ) -> Result<StepReport, TrainerError> {
        let (step, lr) = (self.step, self.lr());
        let mut early = together.early(&self.params);
        let fault = f64::from(Self::fault_at(step));
        let mut summing = Summing { loss: 0.0, fault, early: early.as_mut(), on_end: &mut *on_end };
        // This rank's part of the gradient, left in the parameters.
        let own = batch.and_then(|batch| {
            let on_host = self.draw(step, batch)?;
            let losses = self.gradient_of(&on_host, model, &mut summing)?;
            summing.early.as_mut().map_or(Ok(()), |early| early.begin_rest())?;
            Ok(losses)
        });
        let loss = summing.loss;
        let Losses { each, weighted } = match own {
            Ok(losses) => losses,
            Err(error) => return Err(together.give_up(step, early, error)),
        };
        let is_late = early.as_ref().is_some_and(Early::is_late);
        let (loss, is_late) = together.loss(step, Ok((loss, is_late)))?;
        check_finite("the loss", loss, (step, lr))?;

        let share = self.share(each.size()[0] as usize);
        let losses = together.losses(&share, (&each, &weighted))?;
        match early {
            Some(early) => early.finish(is_late)?,
            None => together.sum_gradients(&together.groups(&self.params))?,
        }
        if is_late {
            // So it would be in every step. All ranks know.
            self.sum_after_backward();
        }
        on_end(Phase::Reduction);
        // Equal on all ranks, but on processors of different kinds up to rounding only.
        let grad_norm = together.of_first("the gradient norm", grad_norm(&self.params)?)?;
        check_finite("the gradient norm", grad_norm, (step, lr))?;

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
}

impl Together {
    /// Takes part in what the other ranks wait for in a step that has failed here, and tells them. Returns the failure.
    fn give_up(&self, step: u64, early: Option<Early<'_>>, failure: TrainerError) -> TrainerError {
        let zeros = early.map_or(Ok(()), Early::give_up);
        // If they cannot be reached, they learn it when this rank ends. Its own error says more.
        let _ = zeros.and_then(|()| self.loss(step, Err(&failure)));
        failure
    }
}
