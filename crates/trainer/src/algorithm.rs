//! Algorithm 1 of Ho et al. 2020 on a batch, the one body of a step: [`Trainer::train_step`] waits for what comes of it,
//! [`Trainer::queue_step`] leaves it to the device. `examples/algorithm_1.rs` has the same without the engine.

use tch::{Kind, Reduction, Tensor};

use crate::error::TrainerError;
use crate::memory::out_of_memory;
use crate::parts::{Noised, parts};
use crate::phase::Phase;
use crate::step::{Model, Trainer};

/// What a step is made of, on the trainer's device: lines 2 to 4, which the host has drawn.
pub(crate) struct Drawn<'a> {
    /// Line 2: `x_0 ~ q(x_0)`, `[b, c, h, w]`.
    pub(crate) x_0: &'a Tensor,
    /// Line 3: `t ~ Uniform`, `[b]` i64.
    pub(crate) t: &'a Tensor,
    /// Line 4: `eps ~ N(0, I)`, like `x_0`.
    pub(crate) eps: &'a Tensor,
    /// `[b]` i64, -1 for those left out.
    pub(crate) labels: Option<&'a Tensor>,
}

/// Follows a step from within.
pub(crate) trait Watch {
    /// At the end of a phase.
    fn on_end(&mut self, _phase: Phase) {}

    /// The mean loss `[]` of a part, before its gradient is taken, and the share of the batch that the part is. What it
    /// returns is what the gradient is taken of.
    ///
    /// # Errors
    /// Whatever ends the step.
    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError>;
}

impl Trainer {
    /// Lines 2 to 5 up to the gradient: leaves it in the parameters and returns the loss of each image, `[b]`.
    pub(crate) fn gradient(
        &self,
        drawn: &Drawn<'_>,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Tensor, TrainerError> {
        let size = drawn.x_0.size();
        let whole = self.perturbed(drawn)?;
        self.adam.forget_gradients()?;
        watch.on_end(Phase::Draws);
        let (count, mut losses) = (size[0] as usize, Vec::new());
        for (first, images) in parts(count, self.config.micro_batch) {
            let part = whole.part(first, images)?;
            let share = images as f64 / count as f64;
            let of_part = self.descend(&part, share, model, watch);
            losses.push(of_part.map_err(|error| out_of_memory(error, images, &size))?);
        }
        Ok(Tensor::f_cat(&losses, 0)?)
    }

    /// `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps`.
    fn perturbed(&self, drawn: &Drawn<'_>) -> Result<Noised, TrainerError> {
        let Drawn { x_0, t, eps, labels } = drawn;
        let x_t = self.tables.q_sample(x_0, t, eps)?;
        let labels = labels.map(Tensor::shallow_clone);
        Ok(Noised { x_t, t: t.shallow_clone(), eps: eps.shallow_clone(), labels })
    }

    /// Adds the part's share of the gradient of the mean loss; returns the loss of each of its images.
    fn descend(
        &self,
        part: &Noised,
        share: f64,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Tensor, TrainerError> {
        let losses = self.losses(part, model, watch)?;
        let weighted = self.weights.apply(&losses, &part.t)?;
        let loss = watch.on_loss(weighted.f_mean(Kind::Float)?, share)?;
        watch.on_end(Phase::Loss);
        loss.f_backward()?;
        watch.on_end(Phase::Backward);
        Ok(losses.f_detach()?)
    }

    /// `|eps - eps_theta(x_t, t)|^2`, the mean over each image, `[b]`.
    fn losses(
        &self,
        Noised { x_t, t, eps, labels }: &Noised,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Tensor, TrainerError> {
        let output = model(x_t, t, labels.as_ref()).map_err(TrainerError::Caller)?;
        watch.on_end(Phase::Network);
        if output.size() != x_t.size() {
            return Err(TrainerError::Output { expected: x_t.size(), got: output.size() });
        }
        let predicted = self.eps_tables.eps(x_t, t, output)?;
        let squares = predicted.f_mse_loss(eps, Reduction::None)?;
        Ok(squares.f_flatten(1, -1)?.f_mean_dim(1_i64, false, Kind::Float)?)
    }
}
