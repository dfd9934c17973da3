//! One run of a sampler on one batch, and its state between calls.

use std::collections::VecDeque;

use random::Purpose;
use tch::{Kind, Tensor};

use crate::error::SamplerError;
use crate::noise::{Draw, NoiseSource};
use crate::sampler::{Call, Model, Sampler};
use crate::stage::{Memory, StageNoise, Sum};
use crate::sum::weighted_sum;
use crate::threshold::Threshold;

/// The state of a run.
pub(crate) struct Run<'a> {
    sampler: &'a Sampler,
    model: &'a Model<'a>,
    noise: &'a dyn NoiseSource,
    /// `[b, c, h, w]`, the input of the next call.
    x: Tensor,
    held: Option<Tensor>,
    /// What is remembered of the calls, the newest first.
    past: VecDeque<Tensor>,
    /// The t of every call, `[calls]`, on the device, so that no call has to copy its own.
    times: Tensor,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        sampler: &'a Sampler,
        model: &'a Model<'a>,
        noise: &'a dyn NoiseSource,
        x_start: &Tensor,
    ) -> Result<Self, SamplerError> {
        let times: Vec<f64> = sampler.stages().map(|stage| stage.at.t).collect();
        let times = tensor_io::from_slice(&times, &[times.len() as i64])?
            .f_to_kind(x_start.f_kind()?)?
            .f_to_device(x_start.device())?;
        let x = x_start.shallow_clone();
        Ok(Self { sampler, model, noise, x, held: None, past: VecDeque::new(), times })
    }

    /// The input of the next call, or the sample.
    pub(crate) fn x(&self) -> &Tensor {
        &self.x
    }

    /// Makes call `index` and computes its sums. Returns the network's input and the image predicted from it.
    ///
    /// `visit` counts how often this call was made before, so that a repeated one gets different noise.
    pub(crate) fn advance(&mut self, index: usize, visit: u32) -> Result<(Tensor, Tensor), SamplerError> {
        let Call { form, stage, step } = &self.sampler.calls[index];
        // Noise is keyed by where the step starts, because churn may raise one level to another.
        let t = self.sampler.grid.level(*step).t;
        if let Some(churn) = &stage.churn {
            let z = self.draw(Purpose::Churn, t, visit)?;
            self.x = weighted_sum(&[(churn.keep, &self.x), (churn.noise, &z)])?;
        }

        let batch = self.x.size()[0];
        let times = self.times.f_narrow(0, index as i64, 1)?.f_expand([batch], false)?;
        let shown = if form.c_in == 1.0 { self.x.shallow_clone() } else { self.x.f_mul_scalar(form.c_in)? };
        let output = (self.model)(&shown, &times).map_err(SamplerError::Caller)?;
        let (output, learned) = self.split(output, stage.noise)?;
        let x_0 = weighted_sum(&[(form.skip, &self.x), (form.out, &output)])?;
        let bounded = self.sampler.threshold.apply(x_0.shallow_clone())?;
        let asked = self.x.shallow_clone();
        if self.sampler.keeps_eps && self.sampler.threshold != Threshold::Off {
            // The state with the same noise and the bounded image.
            let alpha = stage.at.alpha;
            self.x = weighted_sum(&[(1.0, &self.x), (alpha, &bounded), (-alpha, &x_0)])?;
        }
        let x_0 = bounded;

        self.past.push_front(match stage.memory {
            Memory::X0 => x_0.shallow_clone(),
            Memory::Eps => {
                let (alpha, sigma) = (stage.at.alpha, stage.at.sigma);
                weighted_sum(&[(1.0 / sigma, &self.x), (-alpha / sigma, &x_0)])?
            }
        });
        if let Some(hold) = &stage.hold {
            self.held = Some(self.sum(hold)?);
        }
        let next = self.sum(&stage.next)?;
        let next = self.add_noise(next, stage.noise, learned, t, visit)?;
        self.past.drain(..stage.forget.min(self.past.len()));
        self.past.truncate(self.sampler.depth);
        self.x = next;
        Ok((asked, x_0))
    }

    /// Replaces the state, for methods whose steps do not use earlier ones.
    pub(crate) fn set_x(&mut self, x: Tensor) {
        self.x = x;
        self.held = None;
        self.past.clear();
    }

    /// The prediction in the type of `x`, and the network's position in the range of variances, in [0, 1].
    fn split(&self, output: Tensor, noise: StageNoise) -> Result<(Tensor, Option<Tensor>), SamplerError> {
        let mut expected = self.x.size();
        let channels = expected[1];
        if self.sampler.learned_variance {
            expected[1] = 2 * channels;
        }
        if output.size() != expected {
            return Err(SamplerError::Output { expected, got: output.size() });
        }
        // A half-precision network returns half precision; the sums are taken in the type of x.
        let output = output.f_to_kind(self.x.f_kind()?)?;
        if !self.sampler.learned_variance {
            return Ok((output, None));
        }
        let learned = match noise {
            StageNoise::Learned { .. } => {
                Some(output.f_narrow(1, channels, channels)?.f_add_scalar(1.0)?.f_mul_scalar(0.5)?)
            }
            _ => None,
        };
        Ok((output.f_narrow(1, 0, channels)?, learned))
    }

    fn sum(&self, sum: &Sum) -> Result<Tensor, SamplerError> {
        let mut terms = vec![(sum.x, &self.x)];
        // Where nothing is held yet, every solver's weight for it is 0.
        terms.extend(self.held.as_ref().map(|held| (sum.held, held)));
        terms.extend(sum.past.iter().copied().zip(&self.past));
        Ok(weighted_sum(&terms)?)
    }

    fn add_noise(
        &self,
        mean: Tensor,
        noise: StageNoise,
        learned: Option<Tensor>,
        t: f64,
        visit: u32,
    ) -> Result<Tensor, SamplerError> {
        match (noise, learned) {
            (StageNoise::Fixed(sigma), _) => {
                let z = self.draw(Purpose::SampleNoise, t, visit)?;
                Ok(weighted_sum(&[(1.0, &mean), (sigma, &z)])?)
            }
            (StageNoise::Learned { log_min, log_max }, Some(share)) => {
                let z = self.draw(Purpose::SampleNoise, t, visit)?;
                // sigma = exp(log_variance / 2), the logarithm linear in the share.
                let sigma =
                    share.f_mul_scalar((log_max - log_min) / 2.0)?.f_add_scalar(log_min / 2.0)?.f_exp()?;
                Ok(mean.f_add(&sigma.f_mul(&z)?)?)
            }
            _ => Ok(mean),
        }
    }

    /// Noise of the state's shape and type.
    pub(crate) fn draw(&self, purpose: Purpose, t: f64, visit: u32) -> Result<Tensor, SamplerError> {
        let noise = self.noise.draw(Draw { purpose, t, visit }, &self.x.size(), self.x.device())?;
        Ok(if self.x.f_kind()? == Kind::Float { noise } else { noise.f_to_kind(self.x.f_kind()?)? })
    }
}
