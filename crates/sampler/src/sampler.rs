//! The reverse process: t falls from the last step to 0, one network call each, with every coefficient
//! computed beforehand (Ho et al. 2020, Algorithm 2).

use schedule::{Respaced, Schedule, timesteps};
use tch::{Kind, Tensor};
use tracing::{instrument, trace};

use crate::config::{Method, SamplerConfig};
use crate::ddim::ddim_updates;
use crate::ddpm::ddpm_updates;
use crate::error::{BoxError, SamplerError};
use crate::noise::Noise;
use crate::update::{Update, weighted_sum};

/// The network: `x_t` `[b, c, h, w]` f32 and `t` `[b]` i64 on the same device to its prediction
/// `[b, c, h, w]`. `t` is in `0..T` of the chain it was trained on, the same for the whole batch.
pub type Model<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + 'a;

/// Called after each reverse step. An error ends the sampling and is passed on.
pub type Observer<'a> = dyn FnMut(&Step<'_>) -> Result<(), BoxError> + 'a;

/// One finished reverse step. The tensors are never written to again, so an observer may keep them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Steps finished before this one: 0 first, `of - 1` last.
    pub index: usize,
    /// Steps in all.
    pub of: usize,
    /// The t that the network got, in `0..T` of the original chain; it falls from step to step.
    pub t: usize,
    /// What the network got, `[b, c, h, w]`.
    pub x_t: &'a Tensor,
    /// The image that the network predicted from it, `[b, c, h, w]`, clipped if the configuration says so.
    pub x_0: &'a Tensor,
    /// What the next step gets, `[b, c, h, w]`; after the last step, the sample.
    pub x_prev: &'a Tensor,
}

/// A solver on one chain of steps, with its coefficients. It holds no tensors and works on any device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    clip_x_0: bool,
    /// In the order of t; run from the end.
    pub(crate) steps: Vec<ReverseStep>,
    /// `sqrt(alpha_bar)` and `sqrt(1 - alpha_bar)` where the chain starts.
    pub(crate) start: (f64, f64),
}

/// All that a step needs to know beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ReverseStep {
    /// In the original chain.
    pub(crate) t: usize,
    /// The weights of `x_t` and of the network's output in `x_0`.
    x_0_weights: (f64, f64),
    update: Update,
}

impl Sampler {
    /// A sampler that starts from pure noise. `schedule` is the one the network was trained on.
    ///
    /// # Errors
    /// Those of [`SamplerConfig::validate`]; [`schedule::ScheduleError::NoSignal`] for a network that predicts
    /// eps on a chain that ends without any signal.
    pub fn new(schedule: &Schedule, config: &SamplerConfig) -> Result<Self, SamplerError> {
        config.validate(schedule)?;
        let train_steps = schedule.steps();
        let kept = timesteps(config.spacing, train_steps, config.steps.unwrap_or(train_steps))?;
        Self::on_chain(&schedule.respace(&kept)?, config)
    }

    /// The coefficients of a chain, whole, respaced or cut.
    pub(crate) fn on_chain(chain: &Respaced, config: &SamplerConfig) -> Result<Self, SamplerError> {
        let Respaced { schedule, timesteps, .. } = chain;
        let updates = match config.method {
            Method::Ddpm { variance } => ddpm_updates(schedule, variance),
            Method::Ddim { eta } => ddim_updates(schedule, eta),
        };
        let steps = updates
            .into_iter()
            .zip(timesteps)
            .enumerate()
            .map(|(i, (update, &t))| {
                let x_0_weights = config.prediction.x_0_weights(schedule, i)?;
                Ok(ReverseStep { t, x_0_weights, update })
            })
            .collect::<Result<_, SamplerError>>()?;
        let last = schedule.steps() - 1;
        let start = (schedule.sqrt_alpha_bars()[last], schedule.sqrt_one_minus_alpha_bars()[last]);
        Ok(Self { clip_x_0: config.clip_x_0, steps, start })
    }

    /// The number of reverse steps, which is the number of network calls.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The t that the network gets at each step, in the order of the steps: falling, in `0..T` of the original
    /// chain.
    pub fn timesteps(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().rev().map(|step| step.t)
    }

    /// Runs all reverse steps from `x_T` (`[b, c, h, w]` f32, see [`Noise::start`]) to images of the same shape,
    /// on its device.
    ///
    /// With a network that treats each image alone, image `noise.first_index + k` is the same whatever the
    /// batch size. No gradients are recorded. The last step adds no noise and draws none. The number of steps
    /// is fixed beforehand, so NaN from the network ends in an error and never in a loop; it is looked for
    /// once, after the last step, because a look at each step would make the host wait for the device.
    ///
    /// # Errors
    /// [`SamplerError::Images`] for an `x_T` of the wrong shape or type; [`SamplerError::Caller`] when the
    /// network or the observer fails; [`SamplerError::Output`] when the network changes the shape;
    /// [`SamplerError::NonFinite`]; those of libtorch.
    #[instrument(level = "debug", skip_all, fields(steps = self.steps.len(), batch = ?x_start.size().first()))]
    pub fn sample(
        &self,
        model: &Model<'_>,
        x_start: &Tensor,
        noise: &Noise,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        check_images("x_T", x_start)?;
        let _no_grad = tch::no_grad_guard();
        let size = x_start.size();
        let (batch, device, of) = (size[0], x_start.device(), self.steps.len());

        let mut x_t = x_start.shallow_clone();
        for (index, step) in self.steps.iter().rev().enumerate() {
            let t = Tensor::f_full([batch], step.t as i64, (Kind::Int64, device))?;
            let output = model(&x_t, &t).map_err(SamplerError::Caller)?;
            let x_0 = self.predicted_x_0(step, &x_t, &output)?;
            let mut x_prev = step.update.mean(&x_0, &x_t)?;
            if step.update.sigma > 0.0 {
                let z = noise.step(step.t, &size, device)?;
                x_prev = x_prev.f_add_(&z.f_mul_scalar(step.update.sigma)?)?;
            }
            trace!(index, t = step.t, "reverse step");
            on_step(&Step { index, of, t: step.t, x_t: &x_t, x_0: &x_0, x_prev: &x_prev })
                .map_err(SamplerError::Caller)?;
            x_t = x_prev;
        }
        check_finite(&x_t)?;
        Ok(x_t)
    }

    /// `x_0` from the network's output, kept in the range of images where that is wanted.
    fn predicted_x_0(
        &self,
        step: &ReverseStep,
        x_t: &Tensor,
        output: &Tensor,
    ) -> Result<Tensor, SamplerError> {
        if output.size() != x_t.size() {
            return Err(SamplerError::Output { expected: x_t.size(), got: output.size() });
        }
        // A network in half precision answers in it; the sum is taken in f32.
        let output = output.f_to_kind(Kind::Float)?;
        let (w_t, w_out) = step.x_0_weights;
        let mut x_0 = weighted_sum((w_t, x_t), (w_out, &output))?;
        Ok(if self.clip_x_0 { x_0.f_clamp_(-1.0, 1.0)? } else { x_0 })
    }
}

/// A batch of f32 images, `[b, c, h, w]`, with something in it.
pub(crate) fn check_images(what: &'static str, images: &Tensor) -> Result<(), SamplerError> {
    let (got, kind) = (images.size(), images.f_kind()?);
    if got.len() == 4 && got.iter().all(|&n| n > 0) && kind == Kind::Float {
        Ok(())
    } else {
        Err(SamplerError::Images { what, got, got_kind: format!("{kind:?}") })
    }
}

fn check_finite(images: &Tensor) -> Result<(), SamplerError> {
    let of = images.size()[0];
    let finite = images.f_isfinite()?.f_flatten(1, -1)?.f_all_dim(1, false)?; // [b]
    let finite = i64::try_from(&finite.f_sum(Kind::Int64)?)?;
    if finite == of { Ok(()) } else { Err(SamplerError::NonFinite { images: of - finite, of }) }
}
