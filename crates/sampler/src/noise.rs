//! Standard normal noise as a function of (seed, image, step): image i of seed s is the same image whatever the
//! batch it is drawn in.

use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};

use crate::error::SamplerError;

/// Identifies the noise that a solver draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// What it is for.
    pub purpose: Purpose,
    /// The time of the step that draws it, in `0..=T-1`.
    pub t: f64,
    /// How often that step was taken before: 0 unless steps are repeated, as in inpainting.
    pub visit: u32,
}

/// Where a sampler's noise comes from.
pub trait NoiseSource {
    /// Standard normal noise `[b, c, h, w]` f32 on the device. The same draw gives the same noise, and different
    /// draws give independent noise.
    ///
    /// # Errors
    /// Any error of the source.
    fn draw(&self, draw: Draw, shape: &[i64], device: Device) -> Result<Tensor, SamplerError>;
}

/// Noise by seed: element k of the batch is image `first_index + k` of the seed. The default is the first images of
/// seed 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noise {
    /// The seed of the whole set of images.
    pub seed: u64,
    /// Index of the batch's first image in that set.
    pub first_index: u64,
}

/// Keyed by t and not by the position in the chain, so that two variations of an image share the noise of their
/// common steps.
impl NoiseSource for Noise {
    fn draw(&self, draw: Draw, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
        self.numbers(draw.purpose, sub_stream(draw.t), draw.visit, shape, device)
    }
}

/// The noise of one image for the whole batch.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a>(pub(crate) &'a dyn NoiseSource);

impl NoiseSource for Shared<'_> {
    fn draw(&self, draw: Draw, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
        let one: Vec<i64> = std::iter::once(1).chain(shape.iter().skip(1).copied()).collect();
        Ok(self.0.draw(draw, &one, device)?.f_expand(shape, false)?)
    }
}

/// A whole t maps to itself, a fraction to the bits of its f32, which are far above any whole t.
fn sub_stream(t: f64) -> u32 {
    if t.fract() == 0.0 { t as u32 } else { (t as f32).to_bits() }
}

impl Noise {
    /// `x_T`, the pure noise that sampling starts from, f32 `[b, c, h, w]` on the device.
    ///
    /// # Errors
    /// [`SamplerError::Images`] for a shape with an empty axis or more numbers than memory can address.
    ///
    /// ```
    /// use sampler::Noise;
    /// use tch::Device;
    /// let all = Noise { seed: 3, first_index: 0 }.start([5, 1, 2, 2], Device::Cpu)?;
    /// let last = Noise { seed: 3, first_index: 4 }.start([1, 1, 2, 2], Device::Cpu)?;
    /// assert_eq!(all.get(4), last.get(0));
    /// # Ok::<(), sampler::SamplerError>(())
    /// ```
    pub fn start(&self, shape: [i64; 4], device: Device) -> Result<Tensor, SamplerError> {
        self.numbers(Purpose::SampleStart, 0, 0, &shape, device)
    }

    fn numbers(
        &self,
        purpose: Purpose,
        sub_stream: u32,
        visit: u32,
        shape: &[i64],
        device: Device,
    ) -> Result<Tensor, SamplerError> {
        let Some((total, numbers)) = counts(shape) else {
            let got_kind = format!("{:?}", Kind::Float);
            return Err(SamplerError::Images { what: "noise", got: shape.to_vec(), got_kind });
        };
        let mut values = vec![0.0_f32; total];
        for (k, image) in values.chunks_exact_mut(numbers).enumerate() {
            let index = self.first_index.wrapping_add(k as u64);
            Stream::new(self.seed, purpose, index, visit).sub_stream(sub_stream).fill_normal(image);
        }
        let noise = tensor_io::from_slice(&values, shape)?;
        // Non-blocking: the copy queues behind the network's kernels, and the host need not wait for them. The host's
        // memory is free again on return, because it is not page-locked.
        Ok(noise.f_to_device_(device, Kind::Float, true, false)?)
    }
}

/// Number of values in total and per image, if no axis is empty.
fn counts(shape: &[i64]) -> Option<(usize, usize)> {
    let total = shape.iter().try_fold(1_usize, |total, &n| {
        let n = usize::try_from(n).ok().filter(|&n| n > 0)?;
        total.checked_mul(n).filter(|&total| total <= isize::MAX as usize / size_of::<f32>())
    })?;
    let batch = usize::try_from(*shape.first()?).ok()?;
    Some((total, total / batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, first_index: u64) -> Noise {
        Noise { seed, first_index }
    }

    fn drawn(result: Result<Tensor, SamplerError>) -> Vec<f32> {
        tensor_io::to_vec(&result.unwrap()).unwrap()
    }

    fn of_step(noise: Noise, purpose: Purpose, t: f64, visit: u32, shape: &[i64]) -> Vec<f32> {
        drawn(noise.draw(Draw { purpose, t, visit }, shape, Device::Cpu))
    }

    #[test]
    fn every_coordinate_gives_other_noise() {
        let shape = [1, 1, 2, 3];
        let one = noise(1, 0);
        let draws = [
            drawn(one.start(shape, Device::Cpu)),
            drawn(noise(2, 0).start(shape, Device::Cpu)),
            drawn(noise(1, 1).start(shape, Device::Cpu)),
            of_step(one, Purpose::SampleNoise, 0.0, 0, &shape),
            of_step(one, Purpose::SampleNoise, 1.0, 0, &shape),
            of_step(one, Purpose::SampleNoise, 0.5, 0, &shape),
            of_step(one, Purpose::SampleNoise, 0.25, 0, &shape),
            of_step(one, Purpose::SampleNoise, 0.0, 1, &shape),
            of_step(one, Purpose::Churn, 0.0, 0, &shape),
            of_step(one, Purpose::Diffuse, 0.0, 0, &shape),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[..i].iter().all(|b| a != b), "draw {i} repeats an earlier one");
        }
    }

    #[test]
    fn an_odd_number_of_pixels_keeps_images_apart() {
        let all = of_step(noise(1, 10), Purpose::SampleNoise, 7.0, 0, &[3, 1, 1, 5]);
        for k in 0..3_usize {
            let one = of_step(noise(1, 10 + k as u64), Purpose::SampleNoise, 7.0, 0, &[1, 1, 1, 5]);
            assert_eq!(all[5 * k..5 * (k + 1)], one);
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for shape in [[0, 1, 2, 2], [1, 1, 0, 2], [1, -1, 2, 2], [1 << 40, 1 << 40, 1, 1], [1 << 62, 1, 1, 1]]
        {
            let error = noise(1, 0).start(shape, Device::Cpu).unwrap_err();
            assert!(matches!(error, SamplerError::Images { what: "noise", .. }), "{error}");
        }
    }
}
