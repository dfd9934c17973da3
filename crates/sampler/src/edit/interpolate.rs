//! Interpolation between two images (Ho et al. 2020, Sec. 4.4 and Appendix D; Song et al. 2021, Sec. 5.3 and Appendix
//! D.5).
//!
//! There are two ways. One diffuses both images to the same t, mixes `x_t = (1 - a) x_t + a x'_t` and denoises: the
//! larger t, the more the network changes the mixture. The other encodes both images as noise along the deterministic
//! flow ([`crate::Encoder`]) and mixes the noise on the sphere, where it lies.

use tch::{Kind, Tensor};

use crate::error::SamplerError;
use crate::noise::{NoiseSource, Shared};
use crate::sampler::{Model, Observer, Sampler, check_images};
use crate::sum::weighted_sum;

/// How two tensors are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blend {
    /// `(1 - a) x + a x'`.
    Linear,
    /// Along the great circle through both: `sin((1 - a) theta) / sin(theta) x + sin(a theta) / sin(theta) x'`, with
    /// theta the angle between them over all their pixels and channels (Song et al. 2021, Appendix D.5). Two
    /// independent draws of N(0, I) are nearly orthogonal, so the result again has the norm of such a draw. A linear
    /// mixture would have as little as `1 / sqrt(2)` of that norm.
    Spherical,
}

/// Below this sine of the angle a great circle and the straight line differ by less than `theta^2 / 8`, 1e-7.
const PARALLEL: f64 = 1e-3;

/// `count` shares of the second image, evenly spaced from 0 to 1; a single one is the middle.
///
/// ```
/// assert_eq!(sampler::shares(5), [0.0, 0.25, 0.5, 0.75, 1.0]);
/// assert_eq!(sampler::shares(1), [0.5]);
/// ```
#[must_use]
pub fn shares(count: usize) -> Vec<f64> {
    match count {
        1 => vec![0.5],
        _ => (0..count).map(|k| k as f64 / (count - 1) as f64).collect(),
    }
}

/// A mixture for every share: `from` and `to` are `[1, c, h, w]`, the result is `[shares, c, h, w]`.
///
/// A share is the weight of `to`: 0 gives `from` and 1 gives `to`, up to rounding. Nearly parallel tensors are mixed
/// linearly, because the great circle through them is not determined.
///
/// # Errors
/// [`SamplerError::Images`] and [`SamplerError::Pair`] for anything but a pair of images; [`SamplerError::Value`] for
/// a share outside [0, 1] or an empty list; [`SamplerError::Opposite`] for a spherical mixture of two opposite
/// tensors.
///
/// ```
/// use sampler::{Blend, blend};
/// use tch::Tensor;
/// let x = Tensor::from_slice(&[3.0_f32, 0.0]).view([1, 1, 1, 2]);
/// let y = Tensor::from_slice(&[0.0_f32, 3.0]).view([1, 1, 1, 2]);
/// let middle = |how| blend(&x, &y, &[0.5], how);
/// assert!((f64::try_from(middle(Blend::Spherical)?.norm())? - 3.0).abs() < 1e-6);
/// assert!((f64::try_from(middle(Blend::Linear)?.norm())? - 3.0 / 2.0_f64.sqrt()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn blend(from: &Tensor, to: &Tensor, shares: &[f64], how: Blend) -> Result<Tensor, SamplerError> {
    check_pair(from, to)?;
    // This also finds NaN, which is in no range.
    if let Some(&got) = shares.iter().find(|a| !(0.0..=1.0).contains(*a)) {
        return Err(SamplerError::Value { what: "share", got, expected: "0 (the first) to 1 (the second)" });
    }
    if shares.is_empty() {
        return Err(SamplerError::Value { what: "number of shares", got: 0.0, expected: "1 or more" });
    }
    let _no_grad = tch::no_grad_guard();
    let theta = match how {
        Blend::Linear => None,
        Blend::Spherical => angle(from, to)?,
    };
    let mixed = shares
        .iter()
        .map(|&a| {
            let (w_from, w_to) = match theta {
                None => (1.0 - a, a),
                Some(theta) => (((1.0 - a) * theta).sin() / theta.sin(), (a * theta).sin() / theta.sin()),
            };
            weighted_sum(&[(w_from, from), (w_to, to)])
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&mixed, 0)?)
}

/// The angle between two tensors as vectors; `None` where they are nearly parallel or one of them is 0.
fn angle(x: &Tensor, y: &Tensor) -> Result<Option<f64>, SamplerError> {
    let flat = |x: &Tensor| x.f_flatten(0, -1)?.f_to_kind(Kind::Double);
    let (x, y) = (flat(x)?, flat(y)?);
    let dot = |a: &Tensor, b: &Tensor| f64::try_from(&a.f_dot(b)?);
    let cosine = dot(&x, &y)? / (dot(&x, &x)? * dot(&y, &y)?).sqrt();
    let theta = cosine.clamp(-1.0, 1.0).acos();
    if theta.is_nan() || (theta.sin() < PARALLEL && cosine > 0.0) {
        return Ok(None);
    }
    if theta.sin() < PARALLEL { Err(SamplerError::Opposite) } else { Ok(Some(theta)) }
}

impl Sampler {
    /// Interpolates between two images, `[1, c, h, w]` in [-1, 1], and returns `[shares, c, h, w]`. Both are diffused
    /// to the level that the sampler starts from (see [`Sampler::from_step`]), mixed there, and denoised.
    ///
    /// Both get the same noise. A mixture of them is then the mixed image, diffused: it has as much noise as the
    /// network expects at that level. With independent noise it would have less, half the variance at a = 1/2. All
    /// shares also get the same noise in the reverse steps, that of image `noise.first_index`. So the path from one
    /// image to the other is continuous, and no share depends on which others are requested.
    ///
    /// # Errors
    /// As [`blend`] and [`Sampler::sample`].
    pub fn interpolate(
        &self,
        model: &Model<'_>,
        (from, to): (&Tensor, &Tensor),
        shares: &[f64],
        noise: &dyn NoiseSource,
        on_step: &mut Observer<'_>,
    ) -> Result<Tensor, SamplerError> {
        check_pair(from, to)?;
        let (from, to) = (self.diffuse(from, noise)?, self.diffuse(to, noise)?);
        let x_t = blend(&from, &to, shares, Blend::Linear)?;
        self.sample(model, &x_t, &Shared(noise), on_step)
    }
}

fn check_pair(from: &Tensor, to: &Tensor) -> Result<(), SamplerError> {
    check_images("the first image", from)?;
    check_images("the second image", to)?;
    if from.size() == to.size() && from.size()[0] == 1 {
        Ok(())
    } else {
        Err(SamplerError::Pair { from: from.size(), to: to.size() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SamplerConfig;
    use crate::error::BoxError;
    use crate::method::Method;
    use crate::noise::Noise;
    use proptest::prelude::*;
    use schedule::Schedule;
    use tch::Device;

    fn image(values: &[f64]) -> Tensor {
        tensor_io::from_slice(values, &[1, 1, 1, values.len() as i64]).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f64> {
        Vec::try_from(x.to_kind(Kind::Double).flatten(0, -1)).unwrap()
    }

    proptest! {
        /// The angle from the start is the share of the whole angle.
        #[test]
        fn spherical_mixtures_divide_the_angle(theta in 0.01_f64..3.1, a in 0.0_f64..=1.0, length in 0.1_f64..50.0) {
            let (x, y) = (image(&[length, 0.0]), image(&[length * theta.cos(), length * theta.sin()]));
            let mixed = values(&blend(&x, &y, &[a], Blend::Spherical).unwrap());
            prop_assert!((mixed[0].hypot(mixed[1]) / length - 1.0).abs() < 1e-9);
            prop_assert!((mixed[1].atan2(mixed[0]) - a * theta).abs() < 1e-9);
        }

        #[test]
        fn the_ends_are_the_inputs(x in prop::array::uniform3(-5.0_f64..5.0), y in prop::array::uniform3(-5.0_f64..5.0)) {
            for how in [Blend::Linear, Blend::Spherical] {
                let Ok(mixed) = blend(&image(&x), &image(&y), &[0.0, 1.0], how) else { continue };
                let mixed = values(&mixed);
                prop_assert!(mixed[..3].iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-9));
                prop_assert!(mixed[3..].iter().zip(y).all(|(a, b)| (a - b).abs() < 1e-9));
            }
        }
    }

    #[test]
    fn parallel_is_linear_and_opposite_is_refused() {
        let x = image(&[1.0, 2.0]);
        for (y, middle) in [(2.0, [1.5, 3.0]), (0.0, [0.5, 1.0])] {
            assert_eq!(values(&blend(&x, &(&x * y), &[0.5], Blend::Spherical).unwrap()), middle);
        }
        let opposite = blend(&x, &(&x * -0.5), &[0.5], Blend::Spherical);
        assert!(matches!(opposite, Err(SamplerError::Opposite)));
        // A linear mixture of opposite tensors is well defined.
        assert_eq!(values(&blend(&x, &-&x, &[0.5], Blend::Linear).unwrap()), [0.0, 0.0]);
    }

    #[test]
    fn what_cannot_be_mixed_is_refused() {
        let x = image(&[1.0, 2.0]);
        for other in [image(&[1.0]), x.repeat([2, 1, 1, 1])] {
            assert!(matches!(blend(&x, &other, &[0.5], Blend::Linear), Err(SamplerError::Pair { .. })));
        }
        for wrong in [vec![0.5, 1.5], vec![-0.1], vec![f64::NAN], vec![]] {
            assert!(matches!(blend(&x, &x, &wrong, Blend::Linear), Err(SamplerError::Value { .. })));
        }
    }

    /// The denoised mixture is q(x_t | mixed image): the network's first input has the mixed mean and all of the
    /// noise.
    #[test]
    fn mixing_with_shared_noise_is_diffusing_the_mixed_image() {
        let schedule = Schedule::ddpm();
        let config = SamplerConfig { steps: Some(10), ..SamplerConfig::new(Method::Ddim { eta: 1.0 }) };
        let sampler = Sampler::from_step(&schedule, &config, 400).unwrap();
        let noise = Noise { seed: 3, first_index: 5 };
        let (x, y) = (image(&[0.5, -1.0, 0.2]), image(&[1.0, 0.4, -0.6]));
        let shares = [0.0, 0.3, 1.0];
        let mut first = None;
        let zero = |x: &Tensor, _: &Tensor| -> Result<Tensor, BoxError> { Ok(x.zeros_like()) };
        let all = sampler
            .interpolate(&zero, (&x, &y), &shares, &noise, &mut |step| {
                first.get_or_insert_with(|| step.x_t.shallow_clone());
                Ok(())
            })
            .unwrap();
        let first = first.unwrap();
        for (k, a) in shares.into_iter().enumerate() {
            let mixed = (1.0 - a) * &x + a * &y;
            let want = sampler.diffuse(&mixed, &noise).unwrap();
            let worst = values(&(first.get(k as i64).unsqueeze(0) - want))
                .into_iter()
                .map(f64::abs)
                .fold(0.0, f64::max);
            assert!(worst < 1e-12, "{worst}");
            // A share alone gives the same image, since all shares get the same noise.
            let alone = sampler.interpolate(&zero, (&x, &y), &[a], &noise, &mut |_| Ok(())).unwrap();
            assert_eq!(values(&alone), values(&all.get(k as i64)));
        }
    }

    /// Two draws of N(0, I) mixed on the sphere have the norm of such a draw.
    #[test]
    fn noise_stays_noise() {
        let draw = |index| Noise { seed: 1, first_index: index }.start([1, 3, 32, 32], Device::Cpu).unwrap();
        let mixed = blend(&draw(0), &draw(1), &shares(9), Blend::Spherical).unwrap();
        for k in 0..9 {
            let mean_square = f64::try_from(mixed.get(k).square().mean(Kind::Double)).unwrap();
            // Five standard errors of a chi square of 3072.
            assert!((mean_square - 1.0).abs() < 5.0 * (2.0_f64 / 3072.0).sqrt(), "{mean_square}");
        }
    }
}
