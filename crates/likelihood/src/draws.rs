//! Every draw of an image as a function of (seed, image, purpose), so that no result depends on the image's batch.

use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};

use crate::error::LikelihoodError;

/// What is drawn: the rank of a stream. Other draws of [`Purpose::Evaluate`] have lower ranks.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum What {
    Noise = 32,
    Terms = 33,
    Dequantise = 34,
    Probe = 35,
}

/// The draws of a batch, by the index of its first image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    pub(crate) first: u64,
}

impl Draws {
    fn stream(&self, what: What, image: usize) -> Stream {
        let index = self.first.wrapping_add(image as u64);
        Stream::new(self.seed, Purpose::Evaluate, index, what as u32)
    }

    /// The stream that draws the terms of an image.
    pub(crate) fn terms(&self, image: usize) -> Stream {
        self.stream(What::Terms, image)
    }

    /// Standard normal noise like `x`, f64. Image i of the batch gets the noise of `numbers[i]`.
    pub(crate) fn noise(&self, like: &Tensor, numbers: &[u32]) -> Result<Tensor, LikelihoodError> {
        self.filled(like, |image, out: &mut [f32]| {
            self.stream(What::Noise, image).sub_stream(numbers[image]).fill_normal(out);
        })
    }

    /// Uniform in [0, 1), like `x`.
    pub(crate) fn uniform(&self, like: &Tensor) -> Result<Tensor, LikelihoodError> {
        self.filled(like, |image, out: &mut [f64]| {
            let mut stream = self.stream(What::Dequantise, image);
            out.fill_with(|| stream.uniform());
        })
    }

    /// -1 or 1 with the same probability (Rademacher), like `x`.
    pub(crate) fn signs(&self, like: &Tensor, probe: usize) -> Result<Tensor, LikelihoodError> {
        self.filled(like, |image, out: &mut [f32]| {
            let mut stream = self.stream(What::Probe, image).sub_stream(probe as u32);
            for some in out.chunks_mut(32) {
                let bits = stream.next_u32();
                for (i, sign) in some.iter_mut().enumerate() {
                    *sign = if bits >> i & 1 == 0 { -1.0 } else { 1.0 };
                }
            }
        })
    }

    fn filled<T>(
        &self,
        like: &Tensor,
        mut fill: impl FnMut(usize, &mut [T]),
    ) -> Result<Tensor, LikelihoodError>
    where
        T: tch::kind::Element + Default + Clone,
    {
        let (size, device) = (like.size(), like.device());
        let (images, total) = (size[0] as usize, like.numel());
        let mut values = vec![T::default(); total];
        for (image, out) in values.chunks_exact_mut(total / images).enumerate() {
            fill(image, out);
        }
        let drawn = tensor_io::from_slice(&values, &size)?;
        Ok(if device == Device::Cpu { drawn } else { drawn.f_to_device(device)? }.f_to_kind(Kind::Double)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(shape: [i64; 4]) -> Tensor {
        Tensor::zeros(shape, (Kind::Double, Device::Cpu))
    }

    #[test]
    fn draws_go_with_the_image_and_not_with_its_batch() {
        let (all, one) = (zeros([5, 1, 3, 3]), zeros([1, 1, 3, 3]));
        let batch = Draws { seed: 4, first: 10 };
        let alone = |image: u64| Draws { seed: 4, first: 10 + image };
        for image in 0..5_usize {
            let of = |tensor: Tensor| tensor.narrow(0, image as i64, 1);
            let alone = alone(image as u64);
            assert_eq!(of(batch.noise(&all, &[7; 5]).unwrap()), alone.noise(&one, &[7]).unwrap());
            assert_eq!(of(batch.uniform(&all).unwrap()), alone.uniform(&one).unwrap());
            assert_eq!(of(batch.signs(&all, 2).unwrap()), alone.signs(&one, 2).unwrap());
            assert_eq!(batch.terms(image).uniform(), alone.terms(0).uniform());
        }
        let noise = batch.noise(&all, &[7; 5]).unwrap();
        assert_ne!(noise.get(0), noise.get(1));
        assert_ne!(batch.noise(&all, &[8; 5]).unwrap(), noise);
        assert_ne!(batch.signs(&all, 2).unwrap(), batch.signs(&all, 3).unwrap());
    }

    #[test]
    fn signs_are_fair_and_uniforms_fill_the_unit() {
        let (draws, like) = (Draws { seed: 1, first: 0 }, zeros([4, 1, 100, 100]));
        let signs = draws.signs(&like, 0).unwrap();
        assert_eq!(signs.abs().min().double_value(&[]), 1.0);
        assert!(signs.mean(Kind::Double).double_value(&[]).abs() < 5.0 / 200.0);
        let uniform = draws.uniform(&like).unwrap();
        let (least, most) = (uniform.min().double_value(&[]), uniform.max().double_value(&[]));
        assert!((0.0..0.001).contains(&least) && (0.999..1.0).contains(&most), "{least} {most}");
        assert!((uniform.mean(Kind::Double).double_value(&[]) - 0.5).abs() < 5.0 * 0.289 / 200.0);
    }
}
