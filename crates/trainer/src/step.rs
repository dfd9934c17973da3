//! One step of Algorithm 1.

use schedule::Schedule;
use tch::{Device, Kind, Reduction, Tensor};
use tensor_io::Named;
use tracing::instrument;

use crate::adam::{Adam, copy_handles};
use crate::clip::clip_grad_norm;
use crate::diffuse::{Draw, EpsTables, ForwardTables};
use crate::ema::Ema;
use crate::error::{BoxError, TrainerError};
use crate::labels::drop_labels;
use crate::lr::learning_rate;
use config::TrainConfig;

/// The network: `x_t` `[b, c, h, w]`, `t` `[b]` i64 and labels `[b]` i64, -1 for none, to its output
/// `[b, c, h, w]`, which stands for [`TrainConfig::prediction`]; all on the trainer's device.
pub type Model<'a> = dyn Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + 'a;

/// Images to train on.
#[derive(Debug)]
pub struct Batch {
    /// `x_0`, `[b, c, h, w]`, f32 in [-1, 1].
    pub images: Tensor,
    /// Labels `[b]` i64, for a conditional network.
    pub labels: Option<Tensor>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Mean squared error of eps over the batch.
    pub loss: f64,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub lr: f64,
    /// The timestep of each image.
    pub t: Vec<i64>,
    /// Mean squared error of each image.
    pub losses: Vec<f32>,
}

/// Parameters, optimiser and average of one run, and where it stands.
pub struct Trainer {
    config: TrainConfig,
    params: Vec<Named>,
    tables: ForwardTables,
    eps_tables: EpsTables,
    timesteps: usize,
    device: Device,
    seed: u64,
    pub(crate) adam: Adam,
    pub(crate) ema: Ema,
    pub(crate) step: u64,
}

impl Trainer {
    /// A run at its beginning. `params` are the network's own tensors, on `device`.
    ///
    /// # Errors
    /// [`TrainerError::Config`] for numbers out of range.
    pub fn new(
        params: &[Named],
        schedule: &Schedule,
        config: &TrainConfig,
        seed: u64,
        device: Device,
    ) -> Result<Self, TrainerError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            params: copy_handles(params),
            tables: ForwardTables::new(schedule, device)?,
            eps_tables: EpsTables::new(schedule, config.prediction, device)?,
            timesteps: schedule.steps(),
            device,
            seed,
            adam: Adam::new(params)?,
            ema: Ema::new(params)?,
            step: 0,
        })
    }

    /// One gradient step on a batch.
    ///
    /// # Errors
    /// [`TrainerError::NonFinite`] when loss or gradients are not finite; parameters, optimiser and average
    /// are then those before the step. [`TrainerError::Caller`] when the network fails.
    #[instrument(level = "debug", skip_all, fields(step = self.step))]
    pub fn train_step(&mut self, batch: &Batch, model: &Model<'_>) -> Result<StepReport, TrainerError> {
        let lr = learning_rate(&self.config, self.step);
        // Dropout is the one draw that is libtorch's own.
        tch::manual_seed(self.dropout_seed());
        let x_0 = batch.images.f_to_device(self.device)?;

        // Lines 3 and 4: one t and one eps for each image.
        let size = x_0.size();
        let (count, numbers) = (size[0] as usize, size[1..].iter().product::<i64>() as usize);
        let coordinates = (self.seed, self.step, 0);
        let draw = Draw::new(self.timesteps, (count, numbers), self.config.time_sampling, coordinates);
        let labels = batch.labels.as_ref().map(|labels| {
            drop_labels(&labels.f_to_device(self.device)?, self.config.label_dropout, coordinates)
        });
        let labels = labels.transpose()?;
        let t = Tensor::f_from_slice(&draw.t)?.f_to_device(self.device)?;
        let eps = tensor_io::from_slice(&draw.noise, &size)?.f_to_device(self.device)?;

        // Line 5: the gradient of the squared error of eps.
        let x_t = self.tables.q_sample(&x_0, &t, &eps)?;
        let output = model(&x_t, &t, labels.as_ref()).map_err(TrainerError::Caller)?;
        if output.size() != size {
            return Err(TrainerError::Output { expected: size, got: output.size() });
        }
        let predicted = self.eps_tables.eps(&x_t, &t, output)?;
        let losses = predicted.f_mse_loss(&eps, Reduction::None)?.f_flatten(1, -1)?.f_mean_dim(
            1_i64,
            false,
            Kind::Float,
        )?; // [b]
        let loss = losses.f_mean(Kind::Float)?;
        let loss_value = f64::try_from(&loss)?;
        self.check_finite("the loss", loss_value, lr)?;
        self.adam.zero_grad()?;
        loss.f_backward()?;
        let grad_norm = clip_grad_norm(&self.params, self.config.grad_clip)?;
        self.check_finite("the gradient norm", grad_norm, lr)?;

        self.adam.step(lr, &self.config)?;
        self.ema.update(Ema::decay_at(&self.config, self.step))?;
        self.step += 1;
        let losses = tensor_io::to_vec(&losses.detach())?;
        Ok(StepReport { loss: loss_value, grad_norm, lr, t: draw.t, losses })
    }

    /// Steps done.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The numbers of the run.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Steps T of the process.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.timesteps
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

    /// The averaged parameters.
    pub fn ema_weights(&self) -> &[Named] {
        self.ema.weights()
    }

    fn dropout_seed(&self) -> i64 {
        random::Stream::new(self.seed, random::Purpose::Dropout, self.step, 0).next_u64() as i64
    }

    fn check_finite(&self, what: &'static str, value: f64, lr: f64) -> Result<(), TrainerError> {
        let error = TrainerError::NonFinite { what, value, step: self.step, lr };
        if value.is_finite() { Ok(()) } else { Err(error) }
    }
}
