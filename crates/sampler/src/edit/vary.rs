//! Variations of an image, as in SDEdit (Meng et al. 2021): diffuse it to
//! `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps` (Ho et al. 2020, Eq. 4), then run the reverse process
//! from that t instead of from pure noise.

use random::Purpose;
use schedule::NoisePath;
use tch::Tensor;

use crate::config::SamplerConfig;
use crate::error::SamplerError;
use crate::noise::{Draw, NoiseSource};
use crate::sampler::{Model, Observer, Sampler, check_images};
use crate::sum::weighted_sum;
use crate::times::Times;

impl Sampler {
    /// A sampler for the last `t_start` of the `T` reverse steps, `t_start` in `1..=T`: at 1 an image hardly
    /// changes, at T almost nothing of it is left.
    ///
    /// The chain is cut at `t_start`: its own t is in `0..t_start`. If the configuration asks for fewer steps than T,
    /// the cut chain is as dense as the whole one and spaced anew in `0..t_start`, with `steps t_start / T` steps,
    /// rounded up. A single step starts from `t_start - 1` whatever the spacing. Given times are kept if below
    /// `t_start`. With `t_start = T` the sampler is that of [`Sampler::new`].
    ///
    /// # Errors
    /// [`SamplerError::StartStep`]; those of [`Sampler::new`].
    ///
    /// ```
    /// use sampler::{Method, Sampler, SamplerConfig};
    /// let config = SamplerConfig { steps: Some(50), ..SamplerConfig::new(Method::Ddim { eta: 0.0 }) };
    /// let sampler = Sampler::from_step(&schedule::Schedule::ddpm(), &config, 100)?;
    /// assert_eq!(sampler.timesteps().collect::<Vec<_>>(), [99.0, 79.0, 59.0, 39.0, 19.0]);
    /// # Ok::<(), sampler::SamplerError>(())
    /// ```
    pub fn from_step(
        path: &dyn NoisePath,
        config: &SamplerConfig,
        t_start: usize,
    ) -> Result<Self, SamplerError> {
        config.validate(path)?;
        let train_steps = path.steps();
        if !(1..=train_steps).contains(&t_start) {
            return Err(SamplerError::StartStep { timesteps: train_steps, got: t_start });
        }
        if t_start == train_steps {
            return Self::new(path, config);
        }
        if let Times::Given(times) = &config.times {
            let kept = times.iter().copied().filter(|&t| t < t_start as f64).collect();
            let config = SamplerConfig { times: Times::Given(kept), ..config.clone() };
            return Self::new(path, &config);
        }
        if let Times::Levels(levels) = &config.times {
            let kept = levels.iter().copied().filter(|level| level.t < t_start as f64).collect();
            let config = SamplerConfig { times: Times::Levels(kept), ..config.clone() };
            return Self::new(path, &config);
        }
        // At most 1e12, far from overflow on the 64-bit machines that libtorch runs on.
        let steps = (config.whole_steps(path) * t_start).div_ceil(train_steps);
        let grid = config.times.grid(path, t_start, steps, config.end)?;
        Self::on_grid(path, config, grid)
    }

    /// Draws from `q(x_t | x_0)` at the t that the first reverse step expects. `x_0` is `[b, c, h, w]` in [-1, 1];
    /// the result is the input of [`Sampler::sample`].
    ///
    /// # Errors
    /// [`SamplerError::Images`] for an `x_0` of the wrong shape or type; those of libtorch.
    pub fn diffuse(&self, x_0: &Tensor, noise: &dyn NoiseSource) -> Result<Tensor, SamplerError> {
        check_images("x_0", x_0)?;
        let _no_grad = tch::no_grad_guard();
        let draw = Draw { purpose: Purpose::Diffuse, t: 0.0, visit: 0 };
        let eps = noise.draw(draw, &x_0.size(), x_0.device())?.f_to_kind(x_0.f_kind()?)?;
        let start = self.start();
        Ok(weighted_sum(&[(start.alpha, x_0), (start.sigma, &eps)])?)
    }

    /// A variation of each image: [`Sampler::diffuse`], then [`Sampler::sample`].
    ///
    /// The images are `[b, c, h, w]` f32 in [-1, 1]; image k gets the noise of index `noise.first_index + k`. For
    /// several variations of one image, repeat it in the batch.
    ///
    /// # Errors
    /// As [`Sampler::diffuse`] and [`Sampler::sample`].
    pub fn vary(
        &self,
        model: &Model<'_>,
        images: &Tensor,
        noise: &dyn NoiseSource,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        self.sample(model, &self.diffuse(images, noise)?, noise, on_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;
    use crate::noise::Noise;
    use proptest::prelude::*;
    use schedule::Schedule;
    use schedule::Spacing;
    use tch::Device;

    fn config(steps: Option<usize>, spacing: Spacing) -> SamplerConfig {
        SamplerConfig {
            steps,
            times: Times::Spaced(spacing),
            ..SamplerConfig::new(Method::Ddim { eta: 0.0 })
        }
    }

    fn cut(config: &SamplerConfig, t_start: usize) -> Vec<usize> {
        Sampler::from_step(&Schedule::ddpm(), config, t_start)
            .unwrap()
            .timesteps()
            .map(|t| t as usize)
            .collect()
    }

    #[test]
    fn the_chain_is_cut_at_the_start() {
        let all = config(None, Spacing::Trailing);
        assert_eq!(cut(&all, 4), [3, 2, 1, 0]);
        let fifty = config(Some(50), Spacing::Trailing);
        assert_eq!(cut(&fifty, 60), [59, 39, 19]);
        assert_eq!(cut(&fifty, 61), [60, 45, 29, 14]);
        assert_eq!(cut(&config(Some(50), Spacing::Leading), 60), [40, 20, 0]);
        for spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace, Spacing::Quadratic] {
            assert_eq!(cut(&config(Some(50), spacing), 7), [6]);
            assert_eq!(cut(&config(None, spacing), 1), [0]);
            let (config, schedule) = (config(Some(1), spacing), Schedule::ddpm());
            let whole = Sampler::new(&schedule, &config).unwrap();
            assert_eq!(Sampler::from_step(&schedule, &config, 1000).unwrap(), whole);
        }
    }

    #[test]
    fn starts_out_of_range() {
        for t_start in [0, 1001, usize::MAX] {
            let config = config(None, Spacing::Trailing);
            let error = Sampler::from_step(&Schedule::ddpm(), &config, t_start).unwrap_err();
            assert!(
                matches!(error, SamplerError::StartStep { timesteps: 1000, got } if got == t_start),
                "{error}"
            );
        }
    }

    /// The image is diffused to the t that the network then gets, not to the requested one: with leading spacing they
    /// differ.
    #[test]
    fn diffuse_is_q_sample_at_the_first_t() {
        let schedule = Schedule::ddpm();
        let noise = Noise { seed: 5, first_index: 2 };
        let x_0 = tensor_io::from_slice(&[0.5_f32, -1.0, 1.0, 0.0], &[2, 1, 1, 2]).unwrap();
        let eps = noise
            .draw(Draw { purpose: Purpose::Diffuse, t: 0.0, visit: 0 }, &[2, 1, 1, 2], Device::Cpu)
            .unwrap();
        for spacing in [Spacing::Leading, Spacing::Trailing] {
            let sampler = Sampler::from_step(&schedule, &config(Some(50), spacing), 500).unwrap();
            let t = sampler.timesteps().next().unwrap() as usize;
            let arrays = [&x_0, &eps].map(|tensor| tensor_io::to_array(tensor).unwrap());
            let want = schedule.q_sample(&arrays[0], &[t, t], &arrays[1]).unwrap();
            let got = tensor_io::to_vec(&sampler.diffuse(&x_0, &noise).unwrap()).unwrap();
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} {want}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let sampler = Sampler::from_step(&Schedule::ddpm(), &config(None, Spacing::Trailing), 10).unwrap();
        let noise = Noise { seed: 1, first_index: 0 };
        let bytes = Tensor::from_slice(&[1_u8, 2]).view([1, 1, 1, 2]);
        for wrong in [bytes, Tensor::zeros([2, 2], (tch::Kind::Float, Device::Cpu))] {
            let error = sampler.diffuse(&wrong, &noise).unwrap_err();
            assert!(matches!(error, SamplerError::Images { what: "x_0", .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn cut_chains_fall_within_their_start(t_start in 1_usize..=1000, steps in 1_usize..=1000) {
            for spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace, Spacing::Quadratic] {
                let kept = cut(&config(Some(steps), spacing), t_start);
                prop_assert_eq!(kept.len(), (steps * t_start).div_ceil(1000));
                prop_assert!(kept.windows(2).all(|pair| pair[0] > pair[1]));
                prop_assert!(kept[0] < t_start);
            }
        }
    }
}
