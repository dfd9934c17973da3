//! Inpainting by RePaint (Lugmayr et al. 2022, "RePaint: Inpainting using Denoising Diffusion Probabilistic Models",
//! Algorithm 1), with a network trained on whole images.
//!
//! ```text
//! known     y_{t-1} ~ q(y_{t-1} | y_0)              fresh noise at every step
//! unknown   x_{t-1} ~ p(x_{t-1} | x_t)              the solver's step
//! together  x_{t-1} = P y_{t-1} + (I - P) x_{t-1}
//! ```
//!
//! and from time to time back up, `x_{t+j} ~ q(x_{t+j} | x_t)`, to repeat these steps ([`Resampling`]).

use random::Purpose;
use schedule::Level;
use tch::Tensor;
use tracing::{instrument, trace};

use crate::edit::known::Known;
use crate::edit::resampling::{Move, Resampling};
use crate::error::SamplerError;
use crate::noise::NoiseSource;
use crate::run::Run;
use crate::sampler::{Model, Observer, Sampler, Step, check_finite, check_images};
use crate::stage::Stage;
use crate::sum::weighted_sum;
use crate::threshold::Threshold;

/// The solvers whose steps do not use earlier ones.
const ALONE: &str = "ddpm, ddpm-learned, ddim, dpmpp-1, euler, euler-ancestral or consistency";

impl Sampler {
    /// Draws the unknown part of images from pure noise `x_T` (`[b, c, h, w]` f32 or f64, see
    /// [`crate::Noise::start`]). The result has the shape of `x_T` and exactly the known pixels, or the known means
    /// up to rounding.
    ///
    /// Image k gets the noise of index `noise.first_index + k` throughout, so it does not depend on the batch. A
    /// repeated step gets different noise, even with a deterministic solver: from the jump and in the known part. The
    /// start already contains the known part, diffused as at every later level. The paper starts from pure noise,
    /// which for T = 1000 differs by 0.6% of the image.
    ///
    /// The observer sees every reverse step, including repeated ones: `index` counts them all, and t rises at the
    /// jumps.
    ///
    /// # Errors
    /// [`SamplerError::Repeat`] for a solver whose steps use earlier ones; [`SamplerError::KnownShape`] for a known
    /// part of another shape; those of [`Resampling::reverse_steps`] and [`Sampler::sample`].
    #[instrument(level = "debug", skip_all, fields(steps = self.steps(), batch = ?x_start.size().first(), ?resampling))]
    pub fn inpaint(
        &self,
        model: &Model<'_>,
        x_start: &Tensor,
        known: &Known,
        resampling: &Resampling,
        noise: &dyn NoiseSource,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        check_images("x_T", x_start)?;
        if !self.stages().all(Stage::stands_alone) {
            return Err(SamplerError::Repeat { method: self.method.name(), expected: ALONE });
        }
        let _no_grad = tch::no_grad_guard();
        let (moves, of) = (resampling.moves(self.steps())?, resampling.reverse_steps(self.steps())?);
        let image = known.image_for(x_start)?;
        let mut run = Run::new(self, model, noise, x_start)?;
        // How often each step was taken. A repeated step gets different noise, and so do the jumps to and from it.
        let mut taken = vec![0_u32; self.steps()];
        let at_level = |run: &Run<'_>, level: Level, visit: u32| match level.is_data() {
            true => Ok(image.shallow_clone()),
            false => {
                let z = run.draw(Purpose::Known, level.t, visit)?;
                Ok::<_, SamplerError>(weighted_sum(&[(level.alpha, &image), (level.sigma, &z)])?)
            }
        };

        let start = at_level(&run, self.start(), 0)?;
        run.set_x(known.impose(&start, run.x())?);
        let mut index = 0;
        for step in moves {
            match step {
                Move::Reverse { from } => {
                    let (level, t) = (self.grid.level(from + 1), self.grid.level(from).t);
                    let (x_t, x_0) = run.advance(from, taken[from])?;
                    let y = at_level(&run, level, taken[from])?;
                    run.set_x(known.impose(&y, run.x())?);
                    taken[from] += 1;
                    trace!(index, t, "step");
                    let seen = Step { index, of, t, x_t: &x_t, x_0: &x_0, x_prev: run.x() };
                    on_step(&seen).map_err(SamplerError::Caller)?;
                    index += 1;
                }
                Move::Forward { from, to } => {
                    let (keep, sigma) = forward(self.grid.level(from), self.grid.level(to));
                    let z = run.draw(Purpose::Renoise, self.grid.level(to).t, taken[to])?;
                    run.set_x(weighted_sum(&[(keep, run.x()), (sigma, &z)])?);
                }
            }
        }
        // If the chain ends before the data, the last known part still contains noise.
        let mut images = known.impose(&image, run.x())?;
        if self.threshold != Threshold::Off {
            images = known.within_range(&images)?;
        }
        check_finite(&images)?;
        Ok(images)
    }
}

/// `q(x' | x)` from a level to a noisier one in closed form: the weight of x and the standard deviation of the noise.
/// One jump over several steps equals their composition (Ho et al. 2020, Eq. 2 and 4).
fn forward(from: Level, to: Level) -> (f64, f64) {
    let keep = to.alpha / from.alpha;
    // The noise still missing at the target level; on a chain 1 - alpha'^2 / alpha^2 without cancellation.
    let variance = to.sigma.powi(2) - (keep * from.sigma).powi(2);
    (keep, variance.max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SamplerConfig;
    use crate::error::BoxError;
    use crate::method::Method;
    use crate::noise::Noise;
    use crate::times::End;
    use proptest::prelude::*;
    use schedule::Schedule;
    use tch::{Device, Kind};

    /// A network whose output depends on the pixel and on t.
    fn model(x_t: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
        Ok((x_t * 0.7 + t.view([-1, 1, 1, 1]) * 1e-4).tanh())
    }

    fn sampler(method: Method, steps: usize) -> Sampler {
        let config = SamplerConfig { steps: Some(steps), ..SamplerConfig::new(method) };
        Sampler::new(&Schedule::ddpm(), &config).unwrap()
    }

    fn ddim(eta: f64) -> Sampler {
        sampler(Method::Ddim { eta }, 8)
    }

    const RESAMPLING: Resampling = Resampling { jump: 2, repeats: 3 };

    /// An image whose lower half is to be filled.
    fn half_known() -> (Tensor, Known) {
        let image = Noise { seed: 77, first_index: 0 }.start([1, 1, 4, 3], Device::Cpu).unwrap() * 0.3;
        let mask = Tensor::cat(
            &[
                Tensor::zeros([1, 1, 2, 3], (Kind::Float, Device::Cpu)),
                Tensor::ones([1, 1, 2, 3], (Kind::Float, Device::Cpu)),
            ],
            2,
        );
        let known = Known::outside(&image, &mask).unwrap();
        (image, known)
    }

    fn run(
        sampler: &Sampler,
        known: &Known,
        resampling: &Resampling,
        first_index: u64,
        count: i64,
    ) -> Tensor {
        let noise = Noise { seed: 4, first_index };
        let x_t = noise.start([count, 1, 4, 3], Device::Cpu).unwrap();
        sampler.inpaint(&model, &x_t, known, resampling, &noise, &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn known_pixels_are_kept_to_the_bit() {
        let (image, known) = half_known();
        let first_step = {
            let config = SamplerConfig {
                steps: Some(8),
                end: End::FirstStep,
                ..SamplerConfig::new(Method::Ddim { eta: 1.0 })
            };
            Sampler::new(&Schedule::ddpm(), &config).unwrap()
        };
        for sampler in [ddim(0.0), ddim(1.0), first_step] {
            let out = run(&sampler, &known, &RESAMPLING, 0, 3);
            for k in 0..3 {
                assert_eq!(out.get(k).narrow(1, 0, 2), image.get(0).narrow(1, 0, 2));
                assert_ne!(out.get(k).narrow(1, 2, 2), image.get(0).narrow(1, 2, 2));
            }
            assert_ne!(out.get(0), out.get(1), "images of one batch must differ");
        }
    }

    #[test]
    fn an_image_does_not_depend_on_its_batch() {
        let (_, known) = half_known();
        let churn = crate::ChurnSettings { amount: 2.0, ..crate::ChurnSettings::NONE };
        for sampler in [ddim(1.0), sampler(Method::Euler { churn }, 8)] {
            let all = run(&sampler, &known, &RESAMPLING, 10, 4);
            for k in 0..4 {
                assert_eq!(run(&sampler, &known, &RESAMPLING, 10 + k, 1).get(0), all.get(k as i64));
            }
        }
    }

    /// With every pixel to fill and no jumps it is plain sampling, bit for bit.
    #[test]
    fn nothing_known_is_sampling() {
        let (image, _) = half_known();
        let known = Known::outside(&image, &Tensor::ones([1, 1, 4, 3], (Kind::Float, Device::Cpu))).unwrap();
        let (sampler, noise) = (ddim(1.0), Noise { seed: 4, first_index: 0 });
        let x_t = noise.start([2, 1, 4, 3], Device::Cpu).unwrap();
        let sampled = sampler.sample(&model, &x_t, &noise, &mut |_| Ok(())).unwrap();
        assert_eq!(run(&sampler, &known, &Resampling::NONE, 0, 2), sampled);
        assert_ne!(run(&sampler, &known, &RESAMPLING, 0, 2), sampled);
    }

    /// No noise of a run is used twice: a repeated visit gets different noise, for every purpose.
    #[test]
    fn no_noise_is_used_twice() {
        struct Recorder(std::cell::RefCell<Vec<(Purpose, f64, u32)>>);
        impl NoiseSource for Recorder {
            fn draw(&self, draw: crate::Draw, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
                self.0.borrow_mut().push((draw.purpose, draw.t, draw.visit));
                Noise { seed: 1, first_index: 0 }.draw(draw, shape, device)
            }
        }
        let (_, known) = half_known();
        let recorder = Recorder(std::cell::RefCell::default());
        let x_t = Tensor::zeros([1, 1, 4, 3], (Kind::Float, Device::Cpu));
        let sampler = ddim(1.0);
        let mut seen = 0;
        let _ = sampler
            .inpaint(&model, &x_t, &known, &RESAMPLING, &recorder, &mut |step| {
                assert_eq!(step.index, seen);
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, RESAMPLING.reverse_steps(8).unwrap());
        let draws = recorder.0.into_inner();
        for (i, draw) in draws.iter().enumerate() {
            assert!(!draws[..i].contains(draw), "{draw:?} is drawn again");
        }
        let count = |purpose| draws.iter().filter(|draw| draw.0 == purpose).count();
        // Jumps at 1, 3 and 5 steps left, each twice; the data itself is reached once and gets no noise.
        assert_eq!(count(Purpose::Renoise), 6);
        assert_eq!((count(Purpose::SampleNoise), count(Purpose::Known)), (seen - 1, 1 + seen - 1));
    }

    #[test]
    fn the_message_lists_the_solvers_whose_steps_stand_alone() {
        let (_, known) = half_known();
        for name in Method::NAMES {
            let sampler = sampler(name.parse().unwrap(), 8);
            let noise = Noise { seed: 4, first_index: 0 };
            let x_t = noise.start([1, 1, 4, 3], Device::Cpu).unwrap();
            let twice = |x: &Tensor, t: &Tensor| {
                let out = model(x, t)?;
                Ok(if *name == "ddpm-learned" { Tensor::cat(&[&out, &out], 1) } else { out })
            };
            let result = sampler.inpaint(&twice, &x_t, &known, &Resampling::NONE, &noise, &mut |_| Ok(()));
            let listed = ALONE.split(", ").flat_map(|part| part.split(" or ")).any(|listed| listed == *name);
            match result {
                Ok(_) => assert!(listed, "{name} works and is not listed"),
                Err(SamplerError::Repeat { method, .. }) => assert!(!listed && method == *name),
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        let (_, known) = half_known();
        let noise = Noise { seed: 4, first_index: 0 };
        let inpaint = |x_t: &Tensor, resampling| {
            ddim(1.0).inpaint(&model, x_t, &known, &resampling, &noise, &mut |_| Ok(()))
        };
        let small = Tensor::zeros([1, 1, 2, 3], (Kind::Float, Device::Cpu));
        assert!(matches!(inpaint(&small, RESAMPLING), Err(SamplerError::KnownShape { .. })));
        let right = Tensor::zeros([1, 1, 4, 3], (Kind::Float, Device::Cpu));
        let long = Resampling { jump: 8, repeats: 2 };
        assert!(matches!(inpaint(&right, long), Err(SamplerError::Jump { highest: 7, got: 8 })));
        assert!(matches!(inpaint(&(right * f64::NAN), RESAMPLING), Err(SamplerError::NonFinite { .. })));
    }

    proptest! {
        /// Two jumps equal one.
        #[test]
        fn jumps_compose(low in 0_u32..300, first in 1_u32..300, second in 1_u32..300) {
            let schedule = Schedule::ddpm();
            let level = |t: u32| schedule.level_at(f64::from(t)).unwrap();
            let (a, b, c) = (level(low), level(low + first), level(low + first + second));
            let ((k_1, s_1), (k_2, s_2), (k, s)) = (forward(a, b), forward(b, c), forward(a, c));
            prop_assert!((k_1 * k_2 - k).abs() < 1e-12);
            prop_assert!(((k_2 * s_1).hypot(s_2) - s).abs() < 1e-9);
            // And from the data it is q(x_t | x_0).
            let (k, s) = forward(Level::DATA, a);
            prop_assert!((k - a.alpha).abs() < 1e-15 && (s - a.sigma).abs() < 1e-15);
        }
    }
}
