//! Standard normal noise as a function of (seed, image, step): image i of seed s is the same image whatever the
//! batch it is drawn in.

use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};

use crate::error::SamplerError;

/// Where the noise of a batch comes from: element k of the batch is image `first_index + k` of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    /// The seed of the whole set of images.
    pub seed: u64,
    /// Index of the batch's first image in that set.
    pub first_index: u64,
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
        self.draw(Purpose::SampleStart, 0, &shape, device)
    }

    /// The noise that the reverse step at t adds, t in `0..T` of the original chain.
    ///
    /// Keyed by t and not by the position in the chain: two variations of an image share the noise of the
    /// steps that both run.
    pub(crate) fn step(&self, t: usize, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
        self.draw(Purpose::SampleNoise, t as u32, shape, device)
    }

    /// The noise that diffuses given images.
    pub(crate) fn diffuse(&self, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
        self.draw(Purpose::Diffuse, 0, shape, device)
    }

    fn draw(
        &self,
        purpose: Purpose,
        sub_stream: u32,
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
            Stream::new(self.seed, purpose, index, 0).sub_stream(sub_stream).fill_normal(image);
        }
        let noise = tensor_io::from_slice(&values, shape)?;
        // Non-blocking: the copy queues behind the network's kernels and the host need not wait for them.
        // The host's memory is free again on return, because it is not page-locked.
        Ok(noise.f_to_device_(device, Kind::Float, true, false)?)
    }
}

/// Numbers in all and for each image, when every axis holds something.
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

    #[test]
    fn every_coordinate_gives_other_noise() {
        let shape = [1, 1, 2, 3];
        let draws = [
            drawn(noise(1, 0).start(shape, Device::Cpu)),
            drawn(noise(2, 0).start(shape, Device::Cpu)),
            drawn(noise(1, 1).start(shape, Device::Cpu)),
            drawn(noise(1, 0).step(0, &shape, Device::Cpu)),
            drawn(noise(1, 0).step(1, &shape, Device::Cpu)),
            drawn(noise(1, 0).diffuse(&shape, Device::Cpu)),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[..i].iter().all(|b| a != b), "draw {i} came before");
        }
    }

    #[test]
    fn an_odd_number_of_pixels_keeps_images_apart() {
        let all = drawn(noise(1, 10).step(7, &[3, 1, 1, 5], Device::Cpu));
        for k in 0..3_usize {
            let one = drawn(noise(1, 10 + k as u64).step(7, &[1, 1, 1, 5], Device::Cpu));
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
