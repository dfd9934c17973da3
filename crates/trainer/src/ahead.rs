//! Steps that the device works on while the host goes on to the next: the step of [`crate::Trainer::train_step`] without a
//! number that the host would have to wait for.

use config::{Loss, TrainConfig};
use schedule::Level;
use tch::{Device, Kind, Tensor};
use torch_ext::{Download, Recorder, pinned};
use tracing::{debug, instrument};

use crate::algorithm::{Drawn, Losses, Watch};
use crate::clip::grad_norm_ahead;
use crate::ema::Ema;
use crate::error::{BoxError, TrainerError};
use crate::numbers::Numbers;
use crate::step::{Batch, Model, StepReport, Trainer, check_finite};

/// A step that was given to the device. [`Trainer::finish_step`] tells what came of it.
pub struct Queued {
    step: u64,
    lr: f64,
    levels: Vec<Level>,
    oversampled: Vec<f64>,
    /// The loss of each image's output, the same as they count, their mean, and the norm of the gradients: `[2b + 2]`.
    results: Download,
}

/// Nobody reads a loss of a step that is queued.
struct Unwatched<'a> {
    /// No number where a test asks for a fault; otherwise 0.
    fault: &'a Tensor,
}

impl Watch for Unwatched<'_> {
    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError> {
        Ok(mean.f_mul_scalar(share)?.f_add(self.fault)?)
    }
}

/// What a trainer needs for it.
pub(crate) struct Ahead {
    recorder: Recorder,
    /// Why there is no recording, said once.
    told: bool,
}

impl Ahead {
    /// Checkpointed pieces set the generator back in the backward pass, and consistency does between its two calls, which no
    /// recording can hold.
    pub(crate) fn new(device: Device, config: &TrainConfig) -> Result<Self, TrainerError> {
        let sets_back = config.checkpoint_activations || config.loss == Loss::Consistency;
        let recorder = if sets_back { Recorder::without_recording(device) } else { Recorder::new(device) };
        Ok(Self { recorder: recorder?, told: sets_back })
    }
}

impl Trainer {
    /// Whether steps are to be queued: on a GPU they are, so that it never waits for the host.
    #[must_use]
    pub fn works_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Says whether steps are to be queued. On the CPU a queued step is done at once, to nearly the same numbers.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn work_ahead(&mut self, on: bool) -> Result<(), TrainerError> {
        self.ahead = on.then(|| Ahead::new(self.device, &self.config)).transpose()?;
        Ok(())
    }

    /// [`Trainer::train_step`], on the images that `batch` has for the step's number. Where steps are queued, this one is in
    /// `queued` already if it was not the first, and if there is `another` that one is queued before this one is waited
    /// for: between the two the weights are not to be had.
    ///
    /// # Errors
    /// As [`Trainer::train_step`], with the state of [`Trainer::finish_step`].
    pub fn train_step_ahead(
        &mut self,
        queued: &mut Option<Queued>,
        another: bool,
        batch: &mut dyn FnMut(u64) -> Result<Batch, BoxError>,
        model: &Model<'_>,
    ) -> Result<StepReport, TrainerError> {
        let step = self.step;
        let mut images = |step| batch(step).map_err(TrainerError::Caller);
        if !self.works_ahead() {
            return self.train_step(&images(step)?, model);
        }
        let this = match queued.take() {
            Some(this) => this,
            None => self.queue_step(step, &images(step)?, model)?,
        };
        if another {
            *queued = Some(self.queue_step(step + 1, &images(step + 1)?, model)?);
        }
        self.finish_step(this)
    }

    /// Gives the device the step after the last that was finished or queued, number `step` from 0, and does not wait for
    /// it. After some steps the work is recorded, and `model` is not called any more: it has to do the same for every
    /// batch, and its weights have to be the trainer's.
    ///
    /// A step whose loss or gradients are not finite changes nothing on the device: the steps queued after it start where
    /// it did.
    ///
    /// # Errors
    /// [`TrainerError::Caller`] when the network fails, [`TrainerError::OutOfMemory`], and those of libtorch.
    #[instrument(level = "debug", skip_all, fields(step))]
    pub fn queue_step(
        &mut self,
        step: u64,
        batch: &Batch,
        model: &Model<'_>,
    ) -> Result<Queued, TrainerError> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => Ahead::new(self.device, &self.config)?,
        };
        let queued = self.queue(&mut ahead.recorder, step, batch, model);
        if let Some(why) = ahead.recorder.given_up().filter(|_| !ahead.told) {
            debug!("steps are not recorded: {why}");
            ahead.told = true;
        }
        self.ahead = Some(ahead);
        queued
    }

    fn queue(
        &self,
        recorder: &mut Recorder,
        step: u64,
        batch: &Batch,
        model: &Model<'_>,
    ) -> Result<Queued, TrainerError> {
        let lr = self.lr_at(step);
        let drawn = self.draw(step, batch)?;
        let mut settings =
            vec![lr as f32, Self::fault_at(step), (1.0 - Ema::decay_at(&self.config, step)) as f32];
        settings.extend(self.averages.weights_at(&self.config, step));
        let settings = Tensor::f_from_slice(&settings)?;
        let host = [&drawn.images, &drawn.t, &drawn.numbers, &drawn.eps, &settings];
        let host = host.into_iter().chain(&drawn.labels);
        let inputs = host.map(|x| pinned(x, self.device)).collect::<Result<Vec<_>, _>>()?;
        let mut work = |inputs: &[&Tensor]| self.on_device(inputs, model);
        let outputs = recorder.call(&inputs.iter().collect::<Vec<_>>(), &mut work)?;
        let (levels, oversampled) = (drawn.levels, drawn.oversampled);
        Ok(Queued { step, lr, levels, oversampled, results: Download::new(&outputs[0])? })
    }

    /// A whole step on tensors of the device; its one result is what [`Queued::results`] says.
    fn on_device(&self, inputs: &[&Tensor], model: &Model<'_>) -> Result<Vec<Tensor>, TrainerError> {
        let [x_0, t, numbers, eps, settings, labels @ ..] = inputs else {
            return Err(TrainerError::Caller("a step takes five tensors".into()));
        };
        let setting = |index: i64| settings.f_select(0, index);
        let (lr, fault, weight) = (setting(0)?, setting(1)?, setting(2)?);
        let numbers = Numbers::new(numbers);
        let drawn = Drawn { x_0, t, numbers, eps, labels: labels.first().copied() };
        let Losses { each, weighted } = self.gradient(&drawn, model, &mut Unwatched { fault: &fault })?;
        let loss = weighted.f_mean(Kind::Float)?.f_add(&fault)?;
        let norm = grad_norm_ahead(&self.params)?;
        let kept = loss.f_isfinite()?.f_logical_and(&norm.f_isfinite()?)?.f_to_kind(Kind::Float)?;
        let divisor = norm.f_div_scalar(self.config.grad_clip)?.f_clamp_min(1.0)?;
        self.adam.step_ahead(&lr, (&divisor.f_view(1)?, &kept.f_view(1)?), &self.config)?;
        self.ema.update_ahead(&weight.f_mul(&kept)?)?;
        self.averages.update_ahead(&settings.f_narrow(0, 3, settings.size()[0] - 3)?, &kept)?;
        Ok(vec![Tensor::f_cat(&[each, weighted, loss.f_view(1)?, norm.f_view(1)?], 0)?])
    }

    /// Waits for the oldest queued step, and tells what came of it. The trainer has done one more step then.
    ///
    /// # Errors
    /// [`TrainerError::NonFinite`] when loss or gradients were not finite: the trainer then has done no more steps than
    /// before, and its tensors are those that later queued steps made of them. Those of libtorch when the device failed.
    pub fn finish_step(&mut self, queued: Queued) -> Result<StepReport, TrainerError> {
        let Queued { step, lr, levels, oversampled, results } = queued;
        let mut losses: Vec<f32> = tensor_io::to_vec(&results.wait()?)?;
        let (grad_norm, loss) = (losses.pop(), losses.pop());
        let (grad_norm, loss) = (grad_norm.map_or(f64::NAN, f64::from), loss.map_or(f64::NAN, f64::from));
        check_finite("the loss", loss, (step, lr))?;
        check_finite("the gradient norm", grad_norm, (step, lr))?;
        self.adam.took();
        let weighted = losses.split_off(levels.len().min(losses.len()));
        Ok(self.done(step, (loss, grad_norm, lr), (&levels, &oversampled), (losses, weighted)))
    }
}
