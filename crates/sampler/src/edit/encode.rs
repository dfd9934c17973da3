//! Encodes an image as noise by following the deterministic flow from data to noise (Song et al. 2021, Sec. 4.3 and
//! 5.4). Decoding that noise with a deterministic solver returns the image, up to the error of both.

use schedule::NoisePath;
use tch::Tensor;

use crate::config::SamplerConfig;
use crate::error::SamplerError;
use crate::method::Method;
use crate::noise::{Noise, NoiseSource};
use crate::sampler::{Model, Observer, Sampler};
use crate::solvers::ChurnSettings;
use crate::times::End;

/// A solver on a chain of rising levels, from the level of t = 0 to that of T - 1.
///
/// The flow is not defined at the data itself, where `eps = (x - alpha x_0) / sigma` divides by 0. So the image
/// counts as an `x_t` at t = 0, where the DDPM schedule has 1% of noise, and decoding ends at the same level
/// ([`End::FirstStep`]). Decoding then returns the image up to the errors of the two solvers, which vanish with more
/// steps. Decoding to the data ([`End::Data`]) also works where the chain passes t = 0: it removes that 1% as noise,
/// a tenth of a grey level for a mixture of Gaussians. A chain that goes to the data from t = 19 in one step has
/// fifty times the error of one that ends at t = 0 (50 steps of Heun, in `tests/mixture`).
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// On rising levels; its steps work in either direction.
    rising: Sampler,
}

impl Encoder {
    /// The solvers that can encode.
    pub const METHODS: &str = "ddim with eta = 0, euler or heun";

    /// The inverse of `Sampler::new(path, config)` with `config.end = End::FirstStep`: the same levels in rising
    /// order.
    ///
    /// A step of [`Method::Ddim`] takes eps from the lower of its two levels, decoding takes it from the upper one:
    /// an error of first order in the step length. [`Method::Heun`] takes the mean of both, at two calls a step, and
    /// its error is of second order.
    ///
    /// # Errors
    /// [`SamplerError::Encode`] for a solver that adds noise or uses earlier steps; those of [`Sampler::new`].
    pub fn new(path: &dyn NoisePath, config: &SamplerConfig) -> Result<Self, SamplerError> {
        let leads_both_ways = match config.method {
            Method::Ddim { eta } => eta == 0.0,
            Method::Euler { churn } | Method::Heun { churn } => churn.amount == ChurnSettings::NONE.amount,
            _ => false,
        };
        config.validate(path)?;
        if !leads_both_ways {
            return Err(SamplerError::Encode { method: config.method.name(), expected: Self::METHODS });
        }
        let falling = Sampler::new(path, &SamplerConfig { end: End::FirstStep, ..config.clone() })?;
        let rising = Sampler::on_grid(path, config, falling.grid().rising()?)?;
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

    /// Adds to images `[b, c, h, w]` in [-1, 1] the noise that `x_t` has at t = 0, where the flow is defined.
    ///
    /// Without it, pixels that hardly vary in the data, such as a uniformly black background, lack that noise, and
    /// their `x_T` is near 0 instead of N(0, 1). With it, `x_T` looks like pure noise and can be mixed with other
    /// noise. But the decoded image then contains the 1% of noise or, with [`End::Data`], has lost details of that
    /// size.
    ///
    /// # Errors
    /// As [`Sampler::diffuse`].
    pub fn diffuse(&self, images: &Tensor, noise: &dyn NoiseSource) -> Result<Tensor, SamplerError> {
        self.rising.diffuse(images, noise)
    }

    /// Encodes images `[b, c, h, w]` in [-1, 1], f32 or f64, as `x_T` on their device. The observer sees t rise.
    ///
    /// The solver's `x_0` is kept in range as configured, as in decoding.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    ///
    /// ```
    /// use sampler::{BoxError, ChurnSettings, Encoder, End, Method, Noise, Sampler, SamplerConfig};
    /// use schedule::Schedule;
    /// use tch::Tensor;
    ///
    /// // The best network of data from N(0, I): x_t has that distribution at every t.
    /// let schedule = Schedule::ddpm();
    /// let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
    ///     Ok(x_t * schedule.level_at(f64::try_from(t.get(0))?)?.sigma)
    /// };
    /// let heun = SamplerConfig::new(Method::Heun { churn: ChurnSettings::NONE });
    /// let config = SamplerConfig { steps: Some(50), end: End::FirstStep, ..heun };
    /// let image = Tensor::from_slice(&[0.5, -0.25]).view([1, 1, 1, 2]);
    /// let x_t = Encoder::new(&schedule, &config)?.encode(&model, &image, &mut |_| Ok(()))?;
    /// let noise = Noise { seed: 0, first_index: 0 }; // none is drawn
    /// let back = Sampler::new(&schedule, &config)?.sample(&model, &x_t, &noise, &mut |_| Ok(()))?;
    /// assert!(f64::try_from((back - image).abs().max())? < 1e-3);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;
    use proptest::prelude::*;
    use schedule::Schedule;
    use schedule::{Level, Spacing};
    use tch::Kind;

    #[test]
    fn solvers_that_add_noise_or_use_earlier_steps_are_refused() {
        let schedule = Schedule::ddpm();
        let churn = ChurnSettings { amount: 1.0, ..ChurnSettings::NONE };
        let mut methods: Vec<Method> = Method::NAMES.iter().map(|name| name.parse().unwrap()).collect();
        methods.extend([Method::Ddim { eta: 0.1 }, Method::Heun { churn }, Method::Euler { churn }]);
        let works = |method: &Method| match Encoder::new(
            &schedule,
            &SamplerConfig { steps: Some(10), ..SamplerConfig::new(*method) },
        ) {
            Ok(_) => true,
            Err(SamplerError::Encode { method: name, .. }) => name != method.name(),
            Err(other) => panic!("{method}: {other}"),
        };
        let names: Vec<&str> = methods.iter().filter(|method| works(method)).map(Method::name).collect();
        assert_eq!(names, ["ddim", "euler", "heun"]);
        for name in names {
            assert!(Encoder::METHODS.contains(name), "{name}");
        }
    }

    #[test]
    fn the_levels_are_those_of_decoding_whatever_the_end() {
        let schedule = Schedule::ddpm();
        for (spacing, end) in [(Spacing::Trailing, End::Data), (Spacing::Leading, End::FirstStep)] {
            let config = SamplerConfig {
                steps: Some(4),
                times: crate::Times::Spaced(spacing),
                end,
                ..SamplerConfig::new(Method::Ddim { eta: 0.0 })
            };
            let encoder = Encoder::new(&schedule, &config).unwrap();
            let t: Vec<f64> = encoder.rising.timesteps().collect();
            match spacing {
                Spacing::Trailing => assert_eq!(t, [0.0, 249.0, 499.0, 749.0]),
                _ => assert_eq!(t, [0.0, 250.0, 500.0]),
            }
        }
    }

    proptest! {
        /// For data that is a single grey, a step of any length keeps the grey and the noise exactly.
        #[test]
        fn one_grey_is_encoded_exactly(grey in -1.0_f64..1.0, x in -1.0_f64..1.0, steps in 1_usize..30) {
            let schedule = Schedule::ddpm();
            let model = |x: &Tensor, _: &Tensor| -> Result<Tensor, BoxError> { Ok(x.full_like(grey)) };
            for method in ["ddim", "heun"] {
                let config = SamplerConfig {
                    steps: Some(steps),
                    prediction: crate::Prediction::X0,
                    ..SamplerConfig::new(method.parse().unwrap())
                };
                let image = Tensor::from_slice(&[x]).view([1, 1, 1, 1]);
                let got = Encoder::new(&schedule, &config).unwrap().encode(&model, &image, &mut |_| Ok(())).unwrap();
                let (from, to) = (schedule.level_at(0.0).unwrap(), schedule.level_at(999.0).unwrap());
                let Level { alpha, sigma, .. } = to;
                let want = alpha * grey + sigma * (x - from.alpha * grey) / from.sigma;
                let got = f64::try_from(got.to_kind(Kind::Double)).unwrap();
                prop_assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{} {}", got, want);
            }
        }
    }
}
