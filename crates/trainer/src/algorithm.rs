//! Algorithm 1 of Ho et al. 2020 on a batch: the one implementation of a step. [`Trainer::train_step`] waits for its
//! result, [`Trainer::queue_step`] queues it on the device. `examples/algorithm_1.rs` has the algorithm without the
//! engine.

use config::{Loss, TrainConfig};
use tch::Tensor;
use torch_ext::Generators;

use crate::consistency;
use crate::error::TrainerError;
use crate::loss;
use crate::memory::out_of_memory;
use crate::numbers::{Numbers, Row};
use crate::parts::{Noised, parts};
use crate::phase::Phase;
use crate::step::{Model, Trainer};

/// The inputs of a step on the trainer's device: lines 2 to 4, drawn by the host.
pub(crate) struct Drawn<'a> {
    /// Line 2: `x_0 ~ q(x_0)`, `[b, c, h, w]`.
    pub(crate) x_0: &'a Tensor,
    /// Line 3: t, `[b]` i64 or f32, and the numbers derived from it.
    pub(crate) t: &'a Tensor,
    pub(crate) numbers: Numbers,
    /// Line 4: `eps ~ N(0, I)`, like `x_0`.
    pub(crate) eps: &'a Tensor,
    /// Labels `[b]` i64, -1 for dropped ones.
    pub(crate) labels: Option<&'a Tensor>,
}

/// Observes a step while it runs.
pub(crate) trait Watch {
    /// Called at the end of a phase.
    fn on_end(&mut self, _phase: Phase) {}

    /// Called with the mean loss `[]` of a part before the backward pass, and the part's share of the batch. Returns
    /// the tensor to differentiate.
    ///
    /// # Errors
    /// Any error; it ends the step.
    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError>;

    /// The backward pass of a part, which adds its gradients to those of the parts before it. Those of the last part are
    /// complete.
    ///
    /// # Errors
    /// Any error; it ends the step.
    fn backward(&mut self, loss: &Tensor, _is_last: bool) -> Result<(), TrainerError> {
        Ok(loss.f_backward()?)
    }
}

/// The losses of a step.
pub(crate) struct Losses {
    /// Unweighted loss of each image, `[b]`.
    pub(crate) each: Tensor,
    /// The weighted losses, whose mean is the loss.
    pub(crate) weighted: Tensor,
}

impl Trainer {
    /// Lines 2 to 5 up to the gradient, which is left in the parameters. With several ranks it is this rank's share of the
    /// gradient of the whole batch.
    pub(crate) fn gradient(
        &self,
        drawn: &Drawn<'_>,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Losses, TrainerError> {
        let size = drawn.x_0.size();
        let whole = perturbed(&self.config, drawn)?;
        self.adam.forget_gradients()?;
        watch.on_end(Phase::Draws);
        let (count, mut each, mut weighted) = (size[0] as usize, Vec::new(), Vec::new());
        for (first, images) in parts(count, self.config.micro_batch) {
            let part = whole.part(first, images)?;
            let share = images as f64 / (count * self.ranks()) as f64;
            let of_part = self.descend(&part, (share, first + images == count), model, watch);
            let of_part = of_part.map_err(|error| out_of_memory(error, images, &size))?;
            each.push(of_part.each);
            weighted.push(of_part.weighted);
        }
        Ok(Losses { each: Tensor::f_cat(&each, 0)?, weighted: Tensor::f_cat(&weighted, 0)? })
    }

    /// Adds a part's share to the gradient of the mean loss.
    fn descend(
        &self,
        part: &Noised,
        (share, is_last): (f64, bool),
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Losses, TrainerError> {
        let of_consistency = self.config.loss == Loss::Consistency;
        let generators = of_consistency.then(|| Generators::of(&[&part.x_t])).transpose()?;
        let output = predict(&self.config, self.scales_input, part, &Asked::of(part), model)?;
        // Dropout draws again what it drew for the level itself.
        let goal = |generators: &Generators| {
            generators.replay(|| consistency::goal(&self.config, self.scales_input, part, model))?
        };
        let goal = generators.as_ref().map(goal).transpose()?;
        watch.on_end(Phase::Network);
        let Losses { each, weighted } = match &goal {
            Some(goal) => consistency::losses(part, &output, goal)?,
            None => loss::of_part(&self.config, part, &output)?,
        };
        let loss = watch.on_loss(weighted.f_mean(weighted.f_kind()?)?, share)?;
        watch.on_end(Phase::Loss);
        watch.backward(&loss, is_last)?;
        watch.on_end(Phase::Backward);
        Ok(Losses { each: each.f_detach()?, weighted: weighted.f_detach()? })
    }
}

/// `x_t = alpha x_0 + sigma eps`, and the target of the network.
pub(crate) fn perturbed(config: &TrainConfig, drawn: &Drawn<'_>) -> Result<Noised, TrainerError> {
    let Drawn { x_0, t, numbers, eps, labels } = drawn;
    let x_t = numbers.sum((Row::Alpha, x_0), (Row::Sigma, eps))?;
    let target = match config.loss {
        // What the network is shown to find the goal.
        Loss::Consistency => numbers.sum((Row::BelowAlpha, x_0), (Row::BelowSigma, eps))?,
        _ => loss::target(config, numbers, x_0, eps)?,
    };
    Ok(Noised {
        x_t,
        x_0: x_0.shallow_clone(),
        t: t.shallow_clone(),
        numbers: Numbers::clone(numbers),
        target,
        labels: labels.map(Tensor::shallow_clone),
    })
}

/// The input of a network call.
pub(crate) struct Asked<'a> {
    /// `[b, c, h, w]`.
    pub(crate) x: &'a Tensor,
    /// Its scale.
    pub(crate) c_in: Row,
    /// `[b]`.
    pub(crate) t: &'a Tensor,
}

impl<'a> Asked<'a> {
    /// `x_t` and t of a part.
    pub(crate) fn of(part: &'a Noised) -> Self {
        Self { x: &part.x_t, c_in: Row::CIn, t: &part.t }
    }
}

/// The network's output for a part, `[b, c, h, w]`, or twice the channels if it also predicts the variance.
pub(crate) fn predict(
    config: &TrainConfig,
    scales_input: bool,
    part: &Noised,
    asked: &Asked<'_>,
    model: &Model<'_>,
) -> Result<Tensor, TrainerError> {
    let Asked { x, c_in, t } = asked;
    let shown = if scales_input { part.numbers.each(*c_in)?.f_mul(x)? } else { x.shallow_clone() };
    let output = model(&shown, t, part.labels.as_ref()).map_err(TrainerError::Caller)?;
    let mut expected = x.size();
    expected[1] *= config.outputs_per_channel() as i64;
    if output.size() != expected {
        return Err(TrainerError::Output { expected, got: output.size() });
    }
    Ok(output)
}
