//! From an image to the noise it stems from: the deterministic flow, followed from data to noise (Song et al. 2021,
//! Sec. 4.3 and 5.4). Decoding that noise with a deterministic solver gives the image back, up to the error of both.

use schedule::Schedule;
use tch::Tensor;

use crate::config::SamplerConfig;
use crate::error::SamplerError;
use crate::method::Method;
use crate::noise::Noise;
use crate::sampler::{Model, Observer, Sampler};
use crate::solvers::ChurnSettings;
use crate::times::End;

/// A solver on a chain of rising levels, from the level of t = 0 to that of T - 1.
///
/// The flow has no first step from data without noise: `eps = (x - alpha x_0) / sigma` is not defined there. So the
/// image is taken for an `x_t` at t = 0, where the DDPM schedule has 1% of noise. The way back then ends at the same level
/// ([`End::FirstStep`]), and what was encoded comes back with no error but those of the two solvers, which vanish with
/// more steps. Starting from the data instead, by a step with the network's eps at t = 0, leaves an error that no
/// number of steps removes, because that step and the last one back are one long step each.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// On rising levels; its steps work in either direction.
    rising: Sampler,
}

impl Encoder {
    /// The names of the solvers that lead both ways.
    pub const METHODS: &str = "ddim with eta = 0, euler or heun";

    /// The inverse of `Sampler::new(schedule, config)` with `config.end = End::FirstStep`: on the same levels, upwards.
    ///
    /// With [`Method::Ddim`] a step takes eps from the lower of its two levels, the way back from the upper one: an error
    /// of first order in the step length. [`Method::Heun`] takes the mean of both, at two calls a step, and its
    /// error is of second order.
    ///
    /// # Errors
    /// [`SamplerError::Encode`] for a solver that adds noise, or remembers earlier steps; those of [`Sampler::new`].
    pub fn new(schedule: &Schedule, config: &SamplerConfig) -> Result<Self, SamplerError> {
        let leads_both_ways = match config.method {
            Method::Ddim { eta } => eta == 0.0,
            Method::Euler { churn } | Method::Heun { churn } => churn.amount == ChurnSettings::NONE.amount,
            _ => false,
        };
        config.validate(schedule)?;
        if !leads_both_ways {
            return Err(SamplerError::Encode { method: config.method.name(), expected: Self::METHODS });
        }
        let falling = Sampler::new(schedule, &SamplerConfig { end: End::FirstStep, ..config.clone() })?;
        let rising = Sampler::on_grid(schedule, config, falling.grid().rising()?)?;
        Ok(Self { rising })
    }

    /// Steps from the image to noise.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.rising.steps()
    }

    /// Network calls from the image to noise.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.rising.calls()
    }

    /// `x_T` of images `[b, c, h, w]` in [-1, 1], f32 or f64, on their device. The observer sees t rise.
    ///
    /// The solver's `x_0` is kept in range as the configuration says, the same as on the way back.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    ///
    /// ```
    /// use sampler::{BoxError, Encoder, End, Method, Noise, Sampler, SamplerConfig};
    /// use schedule::Schedule;
    /// use tch::{Device, Kind, Tensor};
    ///
    /// // The best network of data from N(0, I): x_t has that distribution at every t.
    /// let schedule = Schedule::ddpm();
    /// let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
    ///     Ok(x_t * schedule.level_at(f64::try_from(t.get(0))?)?.sigma)
    /// };
    /// let ddim = SamplerConfig::new(Method::Ddim { eta: 0.0 });
    /// let config = SamplerConfig { steps: Some(100), end: End::FirstStep, ..ddim };
    /// let image = Tensor::from_slice(&[0.5, -0.25]).view([1, 1, 1, 2]);
    /// let x_t = Encoder::new(&schedule, &config)?.encode(&model, &image, &mut |_| Ok(()))?;
    /// let noise = Noise { seed: 0, first_index: 0 }; // none is drawn
    /// let back = Sampler::new(&schedule, &config)?.sample(&model, &x_t, &noise, &mut |_| Ok(()))?;
    /// assert!(f64::try_from((back - image).abs().max())? < 0.01);
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    pub fn encode(
        &self,
        model: &Model<'_>,
        images: &Tensor,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        // A deterministic solver draws none.
        let noise = Noise { seed: 0, first_index: 0 };
        self.rising.sample(model, images, &noise, on_step)
    }
}
