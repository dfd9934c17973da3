//! A step of several ranks.

use tch::Tensor;

use super::Together;
use crate::algorithm::{Drawn, Losses, Watch};
use crate::clip::{clip_factor, grad_norm};
use crate::draw::{Draw, Share};
use crate::ema::Ema;
use crate::error::TrainerError;
use crate::numbers::Numbers;
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
    /// batch and the same on all ranks. If any rank fails, all do, and no parameter has changed.
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
                let own = self.own_share(step, batch, model, &mut summing);
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
        // Equal on all ranks, but on processors of different kinds up to rounding only.
        let grad_norm = together.of_first("the gradient norm", grad_norm(&self.params)?)?;
        check_finite("the gradient norm", grad_norm, (step, lr))?;

        let on_end = summing.on_end;
        self.adam.step(lr, clip_factor(grad_norm, self.config.grad_clip), &self.config)?;
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

    /// Leaves this rank's part of the gradient in the parameters.
    fn own_share(
        &self,
        step: u64,
        batch: &Batch,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Losses, TrainerError> {
        let on_host = self.draw(step, batch)?;
        let device = |x: &Tensor| x.f_to_device(self.device);
        let (x_0, t, eps) = (device(&on_host.images)?, device(&on_host.t)?, device(&on_host.eps)?);
        let numbers = Numbers::new(&device(&on_host.numbers)?);
        let labels = on_host.labels.as_ref().map(device).transpose()?;
        let drawn = Drawn { x_0: &x_0, t: &t, numbers, eps: &eps, labels: labels.as_ref() };
        self.gradient(&drawn, model, watch)
    }

    fn failed(&self, step: u64) -> TrainerError {
        TrainerError::OtherRank { rank: self.rank(), failure: "failed", step }
    }
}
