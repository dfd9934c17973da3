//! The trainer, and a step that waits for its result. `algorithm.rs` has the computation of a step.

use files::faults;
use schedule::{Level, NoisePath};
use tch::{Device, Tensor};
use tensor_io::Named;
use tracing::instrument;

use crate::adam::{Adam, copy_handles};
use crate::ahead::Ahead;
use crate::algorithm::{Drawn, Losses, Watch};
use crate::augment::augmented;
use crate::averages::Averages;
use crate::clip::{clip_factor, grad_norm};
use crate::draw::Draw;
use crate::ema::Ema;
use crate::error::TrainerError;
use crate::freeze::{Parts, count, parted};
use crate::history::LossHistory;
use crate::labels::drop_labels;
use crate::loss::scales_input;
use crate::lr::learning_rate;
use crate::numbers::{Numbers, in_eps, times};
use crate::pairing::paired;
use crate::phase::Phase;
use crate::recovery::Recovery;
use crate::together::Together;
use config::{TimeSampling, TrainConfig};

pub use denoiser::Conditional as Model;

/// Images to train on.
#[derive(Debug)]
pub struct Batch {
    /// `x_0`, `[b, c, h, w]`, f32 (or f64) in [-1, 1].
    pub images: Tensor,
    /// Labels `[b]` i64, for a conditional network.
    pub labels: Option<Tensor>,
}

/// The result of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The value that was differentiated: the mean loss over the batch, weighted by [`TrainConfig::loss_weight`].
    pub loss: f64,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub lr: f64,
    /// The time of each image.
    pub t: Vec<f64>,
    /// Mean squared error of each image, unweighted and converted to eps, whatever the output is.
    pub losses: Vec<f32>,
}

/// The draws of a step, in host memory.
pub(crate) struct OnHost {
    /// `x_0`, augmented if configured.
    pub(crate) images: Tensor,
    /// `[b]`.
    pub(crate) t: Tensor,
    /// The levels of these images, and how much more often than uniformly they are drawn.
    pub(crate) levels: Vec<Level>,
    pub(crate) oversampled: Vec<f64>,
    /// See [`Numbers`].
    pub(crate) numbers: Tensor,
    /// Like the images.
    pub(crate) eps: Tensor,
    /// `[b]`, -1 for dropped labels; `[b, 4]` with augmentation.
    pub(crate) labels: Option<Tensor>,
}

/// Reads the loss of each part before its backward pass.
struct Waiting<'a> {
    step: u64,
    lr: f64,
    /// The mean over the batch so far.
    loss: f64,
    on_end: &'a mut dyn FnMut(Phase),
}

impl Watch for Waiting<'_> {
    fn on_end(&mut self, phase: Phase) {
        (self.on_end)(phase);
    }

    fn on_loss(&mut self, mean: Tensor, share: f64) -> Result<Tensor, TrainerError> {
        let value = f64::try_from(&mean)?;
        let value = if faults::is_due("nan-loss", self.step) { f64::NAN } else { value };
        check_finite("the loss", value, (self.step, self.lr))?;
        self.loss += value * share;
        Ok(mean.f_mul_scalar(share)?)
    }
}

/// Parameters, optimiser and average of one run, and its progress.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    /// All parameters; frozen ones have no gradient.
    pub(crate) params: Vec<Named>,
    /// Number of trained parameters.
    learned: usize,
    pub(crate) path: Box<dyn NoisePath>,
    /// The other ranks, if there are any.
    pub(crate) together: Option<Together>,
    /// Whether the network's input is scaled, so that it differs from `x_t`.
    pub(crate) scales_input: bool,
    pub(crate) device: Device,
    pub(crate) seed: u64,
    /// Set if steps are queued.
    pub(crate) ahead: Option<Ahead>,
    pub(crate) adam: Adam,
    pub(crate) ema: Ema,
    /// The averages besides the run's own.
    pub(crate) averages: Averages,
    pub(crate) step: u64,
    pub(crate) recovery: Recovery,
    pub(crate) history: LossHistory,
}

impl Trainer {
    /// Starts a run. `params` are the network's own tensors, on `device`. Those that [`TrainConfig::freeze`] matches no longer
    /// require a gradient.
    ///
    /// # Errors
    /// [`TrainerError::Config`] for values out of range, and for patterns that match no parameter or all of them.
    pub fn new(
        params: &[Named],
        path: &dyn NoisePath,
        config: &TrainConfig,
        seed: u64,
        device: Device,
    ) -> Result<Self, TrainerError> {
        config.validate()?;
        let Parts { learned, frozen } = parted(params, config)?;
        Ok(Self {
            config: config.clone(),
            params: copy_handles(params),
            learned: count(&learned),
            path: path.boxed(),
            together: None,
            scales_input: scales_input(path, config.output())?,
            device,
            seed,
            ahead: device.is_cuda().then(|| Ahead::new(device, config)).transpose()?,
            adam: Adam::new(&learned, config.optimizer)?,
            ema: Ema::new(params)?.without(&frozen),
            averages: Averages::new(config, params, &frozen)?,
            step: 0,
            recovery: Recovery::default(),
            history: LossHistory::new(path),
        })
    }

    /// One gradient step on a batch, in parts of [`TrainConfig::micro_batch`] images if that is set.
    ///
    /// # Errors
    /// [`TrainerError::NonFinite`] when loss or gradients are not finite, [`TrainerError::OutOfMemory`] when the batch or
    /// its parts are too large; parameters, optimiser and average are then those before the step.
    /// [`TrainerError::Caller`] when the network fails.
    pub fn train_step(&mut self, batch: &Batch, model: &Model<'_>) -> Result<StepReport, TrainerError> {
        self.train_step_watched(batch, model, &mut |_| ())
    }

    /// [`Trainer::train_step`], which calls `on_end` at the end of each phase. On a GPU the work of a phase may still be
    /// running then, so timing code must wait for it.
    ///
    /// # Errors
    /// As [`Trainer::train_step`].
    #[instrument(level = "debug", skip_all, fields(step = self.step))]
    pub fn train_step_watched(
        &mut self,
        batch: &Batch,
        model: &Model<'_>,
        on_end: &mut dyn FnMut(Phase),
    ) -> Result<StepReport, TrainerError> {
        if let Some(together) = self.together.clone() {
            return self.step_together(&together, Ok(batch), model, on_end);
        }
        self.adam.prepare()?;
        let (step, lr) = (self.step, self.lr());
        let on_host = self.draw(step, batch)?;
        let mut waiting = Waiting { step, lr, loss: 0.0, on_end };
        let losses = self.gradient_of(&on_host, model, &mut waiting)?;
        let Waiting { loss, on_end, .. } = waiting;
        if faults::is_due("nan-gradient", step) {
            let gradients = self.params.iter().map(|(_, param)| param.f_grad());
            if let Some(mut gradient) = gradients.flatten().find(Tensor::defined) {
                let _ = gradient.f_fill_(f64::NAN)?;
            }
        }
        let grad_norm = grad_norm(&self.params)?;
        check_finite("the gradient norm", grad_norm, (step, lr))?;

        self.adam.step(lr, clip_factor(grad_norm, self.config.grad_clip), &self.config)?;
        on_end(Phase::Optimizer);
        self.ema.update(Ema::decay_at(&self.config, step))?;
        self.averages.update(&self.config, step)?;
        on_end(Phase::Average);
        let losses = (tensor_io::to_vec(&losses.each)?, tensor_io::to_vec(&losses.weighted)?);
        Ok(self.done(step, (loss, grad_norm, lr), (&on_host.levels, &on_host.oversampled), losses))
    }

    /// [`Trainer::gradient`] of a draw in host memory.
    pub(crate) fn gradient_of(
        &self,
        on_host: &OnHost,
        model: &Model<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Losses, TrainerError> {
        let device = |x: &Tensor| x.f_to_device(self.device);
        let (x_0, t, eps) = (device(&on_host.images)?, device(&on_host.t)?, device(&on_host.eps)?);
        let numbers = Numbers::new(&device(&on_host.numbers)?);
        let labels = on_host.labels.as_ref().map(device).transpose()?;
        let drawn = Drawn { x_0: &x_0, t: &t, numbers, eps: &eps, labels: labels.as_ref() };
        self.gradient(&drawn, model, watch)
    }

    /// Counts a completed step. `losses` has the unweighted and the weighted losses.
    pub(crate) fn done(
        &mut self,
        step: u64,
        (loss, grad_norm, lr): (f64, f64, f64),
        (levels, oversampled): (&[Level], &[f64]),
        (mut losses, weighted): (Vec<f32>, Vec<f32>),
    ) -> StepReport {
        if self.config.time_sampling == TimeSampling::ByLoss {
            let steps = self.path.steps() as f64;
            // A step of a chain stands for all the shares that lead to it: their middle is surely in its part.
            let end = if self.path.is_discrete() { 0.5 } else { 1.0 };
            let shares = levels.iter().map(|level| (level.t + end) / steps);
            // The losses as they would be with uniformly drawn levels.
            let losses =
                weighted.iter().zip(oversampled).map(|(loss, more_often)| f64::from(*loss) * more_often);
            self.history.record(step, shares.zip(losses));
        }
        for (loss, factor) in losses.iter_mut().zip(in_eps(&self.config, levels)) {
            *loss = (f64::from(*loss) * factor) as f32;
        }
        self.step = step + 1;
        self.recovery.in_a_row = 0;
        StepReport { loss, grad_norm, lr, t: levels.iter().map(|level| level.t).collect(), losses }
    }

    /// Draws a step in host memory: lines 3 and 4, one t and one eps per image, and the dropped labels. Also seeds
    /// libtorch's generators for dropout, the only draw that libtorch makes.
    pub(crate) fn draw(&self, step: u64, batch: &Batch) -> Result<OnHost, TrainerError> {
        let rank = self.rank() as u32;
        tch::manual_seed(
            random::Stream::new(self.seed, random::Purpose::Dropout, step, rank).next_u64() as i64
        );
        let (size, kind) = (batch.images.size(), batch.images.f_kind()?);
        let values = size[1..].iter().product::<i64>() as usize;
        let share = self.share(size[0] as usize);
        let draw = Draw::new(&*self.path, &self.config, &self.history, (&share, values), (self.seed, step))?;
        let labels = batch
            .labels
            .as_ref()
            .map(|labels| drop_labels(labels, self.config.label_dropout, &share, (self.seed, step)));
        let (images, labels) =
            augmented(&self.config, &batch.images, labels.transpose()?, &share, (self.seed, step))?;
        let eps = tensor_io::from_slice(&draw.noise, &size)?.f_to_kind(kind)?;
        let eps = paired(&self.config, (&images, batch.labels.as_ref()), eps, &share, (self.seed, step))?;
        Ok(OnHost {
            images,
            t: times(&*self.path, &draw.levels)?,
            numbers: Numbers::on_host(&*self.path, &self.config, &draw, kind)?,
            eps,
            labels,
            levels: draw.levels,
            oversampled: draw.oversampled,
        })
    }

    /// Goes on to the next step and skips this one: nothing is drawn or learned.
    pub(crate) fn pass_over(&mut self) {
        self.step += 1;
        self.recovery.in_a_row += 1;
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn lr(&self) -> f64 {
        self.lr_at(self.step)
    }

    pub(crate) fn lr_at(&self, step: u64) -> f64 {
        learning_rate(&self.config, step) * self.recovery.lr_scale()
    }

    /// The recovery from failed steps so far.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Steps done.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The configuration of the run.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// T; the times in a step's report are below it.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.path.steps()
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The parameters as trained.
    pub fn params(&self) -> &[Named] {
        &self.params
    }

    /// Number of trained parameters, and of all parameters of the network.
    #[must_use]
    pub fn trained_numbers(&self) -> (usize, usize) {
        (self.learned, count(&self.params))
    }

    /// The averaged parameters; none on ranks above 0.
    pub fn ema_weights(&self) -> &[Named] {
        self.ema.weights()
    }

    /// NaN if a test asks for a loss or gradients that are not finite, otherwise 0.
    pub(crate) fn fault_at(step: u64) -> f32 {
        if faults::is_due("nan-loss", step) || faults::is_due("nan-gradient", step) { f32::NAN } else { 0.0 }
    }
}

/// Fails if the loss or gradient norm of step `step` is not finite.
pub(crate) fn check_finite(
    what: &'static str,
    value: f64,
    (step, lr): (u64, f64),
) -> Result<(), TrainerError> {
    if value.is_finite() { Ok(()) } else { Err(TrainerError::NonFinite { what, value, step, lr }) }
}
