//! Steps that run on the device while the host goes on to the next: [`crate::Trainer::train_step`] without any value that
//! the host would have to wait for.

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

/// A step that was queued on the device. [`Trainer::finish_step`] returns its result.
pub struct Queued {
    step: u64,
    lr: f64,
    levels: Vec<Level>,
    oversampled: Vec<f64>,
    /// The unweighted and the weighted loss of each image, the mean loss, and the gradient norm: `[2b + 2]`.
    results: Download,
}

/// Nothing reads the loss of a queued step.
struct Unwatched<'a> {
    /// NaN if a test asks for a fault, otherwise 0.
    fault: &'a Tensor,
}

impl Watch for Unwatched<'_> {
    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError> {
        Ok(mean.f_mul_scalar(share)?.f_add(self.fault)?)
    }
}

/// The state that a trainer needs to queue steps.
pub(crate) struct Ahead {
    recorder: Recorder,
    /// Whether the reason for not recording has been logged.
    told: bool,
}

impl Ahead {
    /// Checkpointed pieces reset the generator in the backward pass, and consistency resets it between its two calls.
    /// Neither can be recorded.
    pub(crate) fn new(device: Device, config: &TrainConfig) -> Result<Self, TrainerError> {
        let resets = config.checkpoint_activations || config.loss == Loss::Consistency;
        if resets {
            Self::unrecorded(device)
        } else {
            Ok(Self { recorder: Recorder::new(device)?, told: false })
        }
    }

    fn unrecorded(device: Device) -> Result<Self, TrainerError> {
        Ok(Self { recorder: Recorder::without_recording(device)?, told: true })
    }
}

impl Trainer {
    /// Whether steps are queued. They are on a GPU, so that it never waits for the host; but not with several ranks, which
    /// decide about every step together.
    #[must_use]
    pub fn works_ahead(&self) -> bool {
        self.ahead.is_some() && self.together.is_none()
    }

    /// Sets whether steps are queued. On the CPU a queued step runs at once, with nearly the same numbers.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn work_ahead(&mut self, on: bool) -> Result<(), TrainerError> {
        self.ahead = on.then(|| Ahead::new(self.device, &self.config)).transpose()?;
        Ok(())
    }

    /// Queues steps without recording them, to measure what recording gains and to compare the results. On the CPU, which
    /// records nothing, this is [`Trainer::work_ahead`].
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn work_unrecorded(&mut self) -> Result<(), TrainerError> {
        self.ahead = Some(Ahead::unrecorded(self.device)?);
        Ok(())
    }

    /// Whether queued steps are now replays of a recording.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.recorder.is_recorded())
    }

    /// [`Trainer::train_step`] on the images that `batch` returns for the step. If steps are queued, this one is already in
    /// `queued` unless it is the first. If there is `another`, that one is queued before this one is waited for. Do not read
    /// the weights while a step is queued.
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
        if let Some(together) = self.together.clone() {
            // A rank without images must tell the others.
            let batch = images(step);
            let batch = match batch {
                Ok(ref batch) => Ok(batch),
                Err(error) => Err(error),
            };
            return self.step_together(&together, batch, model, &mut |_| ());
        }
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

    /// Queues step `step` (from 0), the one after the last that was finished or queued, without waiting for it. After
    /// some steps the work is recorded and `model` is no longer called. So it must do the same for every batch, and its
    /// weights must be the trainer's.
    ///
    /// A step whose loss or gradients are not finite changes nothing on the device: the steps queued after it start from
    /// the same state.
    ///
    /// # Errors
    /// [`TrainerError::Caller`] when the network fails, [`TrainerError::OutOfMemory`], and errors from libtorch.
    #[instrument(level = "debug", skip_all, fields(step))]
    pub fn queue_step(
        &mut self,
        step: u64,
        batch: &Batch,
        model: &Model<'_>,
    ) -> Result<Queued, TrainerError> {
        self.adam.prepare()?;
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

    /// A whole step on tensors of the device. Its only result is [`Queued::results`].
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

    /// Waits for the oldest queued step and returns its result. The trainer has then done one more step.
    ///
    /// # Errors
    /// [`TrainerError::NonFinite`] when loss or gradients were not finite: the step does not count, but the tensors are
    /// already those of the steps queued after it. Errors from libtorch when the device failed.
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
