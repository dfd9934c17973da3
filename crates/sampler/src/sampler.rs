//! The reverse process: from noise to an image, with every coefficient computed in advance (Ho et al. 2020, Algorithm
//! 2, and its successors).

use schedule::{Form, Level, NoisePath};
use tch::{Kind, Tensor};
use tracing::{instrument, trace};

use crate::config::SamplerConfig;
use crate::error::{BoxError, SamplerError};
use crate::grid::Grid;
use crate::method::Method;
use crate::noise::NoiseSource;
use crate::run::Run;
use crate::stage::{Stage, StageNoise};
use crate::threshold::Threshold;

pub use denoiser::Denoiser as Model;

/// Called after each step. An error stops the sampling and is passed on.
pub type Observer<'a> = dyn FnMut(&Step<'_>) -> Result<(), BoxError> + 'a;

/// One finished step. The tensors are never written to again, so an observer may keep them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Steps finished before this one: 0 first, `of - 1` last.
    pub index: usize,
    /// Steps in all.
    pub of: usize,
    /// The t that the step started from, in `0..=T-1` of the original chain. It falls from step to step, except for
    /// the jumps of [`Sampler::inpaint`], and rises in [`crate::Encoder::encode`].
    pub t: f64,
    /// The network's first input in this step, `[b, c, h, w]`.
    pub x_t: &'a Tensor,
    /// The image that the network predicted from it, `[b, c, h, w]`, clipped if the configuration says so.
    pub x_0: &'a Tensor,
    /// The input of the next step, `[b, c, h, w]`; after the last step, the sample.
    pub x_prev: &'a Tensor,
}

/// A solver on one chain of steps, with its coefficients. It holds no tensors and works on any device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    pub(crate) method: Method,
    pub(crate) grid: Grid,
    pub(crate) threshold: Threshold,
    pub(crate) keeps_eps: bool,
    scales_start: bool,
    /// Whether the network also predicts the variance, in twice the channels.
    pub(crate) learned_variance: bool,
    /// In the order of the calls.
    pub(crate) calls: Vec<Call>,
    /// How many memories to keep: as many as any call uses, plus those it is about to drop.
    pub(crate) depth: usize,
}

/// The precomputed parts of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// From the network's output to `x_0`.
    pub(crate) form: Form,
    /// Step of the grid, from 0.
    pub(crate) step: usize,
    pub(crate) stage: Stage,
}

impl Sampler {
    /// Computes the coefficients of a solver for a path.
    ///
    /// # Errors
    /// [`SamplerError::Steps`] and the errors of the method's parameters, see [`SamplerConfig::validate`];
    /// [`SamplerError::Schedule`] where the prediction does not determine `x_0`: eps at a step without any signal;
    /// [`SamplerError::Unsolvable`] for a solver that cannot start there.
    pub fn new(path: &dyn NoisePath, config: &SamplerConfig) -> Result<Self, SamplerError> {
        config.validate(path)?;
        let steps = config.whole_steps(path);
        let grid = config.times.grid(path, path.steps(), steps, config.end)?;
        Self::on_grid(path, config, grid)
    }

    /// The same on the caller's own levels, which replace the configuration's `steps`, `times` and `end`.
    ///
    /// # Errors
    /// As [`Sampler::new`].
    pub fn on_grid(path: &dyn NoisePath, config: &SamplerConfig, grid: Grid) -> Result<Self, SamplerError> {
        config.validate(path)?;
        let mut step = 0;
        let calls = config
            .method
            .stages(&grid, path)?
            .into_iter()
            .map(|stage| {
                let form = config.prediction.form(&stage.at)?;
                if !stage.is_finite() {
                    return Err(SamplerError::Unsolvable { method: config.method.name(), t: stage.at.t });
                }
                let call = Call { form, step, stage };
                step += usize::from(call.stage.completes);
                Ok(call)
            })
            .collect::<Result<Vec<_>, SamplerError>>()?;
        let depth = calls.iter().map(|call| call.stage.asked() + call.stage.forget).max().unwrap_or(0);
        let learned_variance = config.learned_variance || config.method == Method::DdpmLearned;
        let &SamplerConfig { method, threshold, keeps_eps, scales_start, .. } = config;
        Ok(Self { method, grid, threshold, keeps_eps, scales_start, learned_variance, calls, depth })
    }

    /// Steps from noise to an image.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// Network calls from noise to an image: as many as steps, or more for solvers with several calls a step.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The t at which each step starts, falling, in `0..=T-1` of the original chain.
    pub fn timesteps(&self) -> impl Iterator<Item = f64> {
        (0..self.grid.steps()).map(|i| self.grid.level(i).t)
    }

    /// The levels the solver passes through.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The calls and weights, in order.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.calls.iter().map(|call| &call.stage)
    }

    /// Whether a step ever draws noise.
    #[must_use]
    pub fn is_stochastic(&self) -> bool {
        self.stages().any(|stage| stage.noise != StageNoise::None || stage.churn.is_some())
    }

    /// Turns noise of unit variance ([`crate::Noise::start`]) into `x_T`. It scales the noise only where the path's
    /// noise exceeds a deviation of 1, and with [`SamplerConfig::scales_start`].
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn start_from(&self, noise: Tensor) -> Result<Tensor, SamplerError> {
        let sigma = self.start().sigma;
        // On a variance-preserving path sigma differs from 1 only by the signal that the schedule leaves.
        Ok(if sigma > 1.0 || self.scales_start { noise.f_mul_scalar(sigma)? } else { noise })
    }

    /// Whether [`SamplerConfig::scales_start`] is set.
    #[must_use]
    pub fn scales_start(&self) -> bool {
        self.scales_start
    }

    /// The level that [`Sampler::sample`] starts from.
    pub(crate) fn start(&self) -> Level {
        self.grid.level(0)
    }

    /// Runs all steps from `x_T` (`[b, c, h, w]` f32, or f64 where rounding matters; see [`crate::Noise::start`]) to
    /// images of the same shape, on its device.
    ///
    /// With a network that treats images independently and [`crate::Noise`], image `first_index + k` is the same whatever
    /// the batch size, for every solver. No gradients are recorded. A step that adds no noise draws none. The number
    /// of calls is fixed in advance, so NaN from the network ends in an error and never in a loop. It is checked
    /// once, after the last step, because a check in each step would make the host wait for the device.
    ///
    /// # Errors
    /// [`SamplerError::Images`] for an `x_T` of the wrong shape or type; [`SamplerError::Caller`] when the
    /// network or the observer fails; [`SamplerError::Output`] when the network changes the shape;
    /// [`SamplerError::NonFinite`]; those of libtorch.
    #[instrument(level = "debug", skip_all, fields(calls = self.calls.len(), batch = ?x_start.size().first()))]
    pub fn sample(
        &self,
        model: &Model<'_>,
        x_start: &Tensor,
        noise: &dyn NoiseSource,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        check_images("x_T", x_start)?;
        let _no_grad = tch::no_grad_guard();
        let mut run = Run::new(self, model, noise, x_start)?;
        let of = self.steps();
        let mut first = None;
        for (index, call) in self.calls.iter().enumerate() {
            let seen = run.advance(index, 0)?;
            let (x_t, x_0) = first.get_or_insert(seen);
            if call.stage.completes {
                let (index, t) = (call.step, self.grid.level(call.step).t);
                trace!(index, t, "step");
                on_step(&Step { index, of, t, x_t, x_0, x_prev: run.x() }).map_err(SamplerError::Caller)?;
                first = None;
            }
        }
        check_finite(run.x())?;
        Ok(run.x().shallow_clone())
    }
}

/// Checks for a batch of images, `[b, c, h, w]` in f32 or f64, with no empty axis.
pub(crate) fn check_images(what: &'static str, images: &Tensor) -> Result<(), SamplerError> {
    let (got, kind) = (images.size(), images.f_kind()?);
    if got.len() == 4 && got.iter().all(|&n| n > 0) && matches!(kind, Kind::Float | Kind::Double) {
        Ok(())
    } else {
        Err(SamplerError::Images { what, got, got_kind: format!("{kind:?}") })
    }
}

pub(crate) fn check_finite(images: &Tensor) -> Result<(), SamplerError> {
    let of = images.size()[0];
    let finite = images.f_isfinite()?.f_flatten(1, -1)?.f_all_dim(1, false)?; // [b]
    let finite = i64::try_from(&finite.f_sum(Kind::Int64)?)?;
    if finite == of { Ok(()) } else { Err(SamplerError::NonFinite { images: of - finite, of }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;
    use tch::Device;

    #[test]
    fn a_start_has_the_deviation_of_its_level_if_configured() {
        let schedule = Schedule::ddpm();
        let noise = Tensor::f_ones([1, 1, 2, 2], (Kind::Double, Device::Cpu)).unwrap();
        for scales_start in [false, true] {
            let config = SamplerConfig {
                steps: Some(3),
                scales_start,
                ..SamplerConfig::new(Method::Ddim { eta: 0.0 })
            };
            let sampler = Sampler::new(&schedule, &config).unwrap();
            let x_t = sampler.start_from(noise.shallow_clone()).unwrap();
            let want = if scales_start { (1.0 - schedule.alpha_bars()[999]).sqrt() } else { 1.0 };
            assert!((x_t.f_double_value(&[0, 0, 0, 0]).unwrap() - want).abs() < 1e-15);
            assert!(want == 1.0 || want < 0.99999, "{want}");
        }
    }
}
