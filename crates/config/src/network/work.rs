//! Counts the arithmetic of a network: multiply-adds of its convolutions, linear layers and attention products.

use super::layout::Resampling;
use super::shape::{AUGMENTATIONS, EmbeddingConfig, TimeForm, TimeInjection, UNetConfig};

/// Multiply-adds of a forward pass for one image.
///
/// Normalisations, activations, additions and the softmax are not counted, as is usual: they take a few operations per
/// value, while a convolution takes hundreds. The count is for the direct algorithm, even if a faster one multiplies
/// less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Multiply-adds of all convolutions and linear layers.
    pub layers: f64,
    /// The part of `layers` whose input needs no gradient, since images and encoded t are not learned.
    pub of_inputs: f64,
    /// Multiply-adds of the products `q k^T` and `softmax(..) v`. They are counted separately because PyTorch's own
    /// counter does not see them in its fused attention, so published counts do not include them.
    pub attention: f64,
}

/// Floating-point operations, 2 for each multiply-add.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flop {
    /// Operations of convolutions and linear layers.
    pub layers: f64,
    /// Operations of the attention products.
    pub attention: f64,
}

impl Work {
    /// The operations of one network call for `images` images.
    #[must_use]
    pub fn call(&self, images: usize) -> Flop {
        let operations = 2.0 * images as f64;
        Flop { layers: operations * self.layers, attention: operations * self.attention }
    }

    /// The operations of a forward and a backward pass. In the backward pass a layer costs the same again for the
    /// gradient of its weights, and again for that of its input if one is needed. An attention product costs the same
    /// again for each of its two factors.
    #[must_use]
    pub fn training(&self, images: usize) -> Flop {
        let operations = 2.0 * images as f64;
        Flop {
            layers: operations * (3.0 * self.layers - self.of_inputs),
            attention: operations * 3.0 * self.attention,
        }
    }
}

impl UNetConfig {
    /// The arithmetic for one image of `height` x `width` pixels, each a multiple of
    /// [`UNetConfig::downsampling_factor`].
    ///
    /// Uses f64: no count of a valid network overflows it, and counts of realistic networks are exact.
    #[must_use]
    pub fn work(&self, height: usize, width: usize) -> Work {
        let levels = self.levels();
        let pixels = |level: usize| ((height >> level) * (width >> level)) as f64;
        let base = self.base_channels;
        let time_width = self.time_width();

        let of_inputs = conv(self.in_channels, base, 3, pixels(0))
            + linear(self.embedding.dim(), time_width)
            + if self.augmented { linear(AUGMENTATIONS, time_width) } else { 0.0 };
        let mut work = Work { layers: of_inputs + linear(time_width, time_width), of_inputs, attention: 0.0 };
        if self.time_injection == TimeInjection::Input {
            work.layers += linear(time_width, base);
        }

        // The encoder, and the channels of its skip connections.
        let mut skips = vec![base];
        let mut channels = base;
        for level in 0..levels {
            let c_out = self.level_channels(level);
            for _ in 0..self.blocks_per_level {
                self.add_stage(&mut work, (channels, c_out), self.attends_down(level), pixels(level));
                channels = c_out;
                skips.push(c_out);
            }
            if level + 1 < levels {
                self.add_resampling(&mut work, self.downsampling(level), c_out, pixels(level + 1));
                skips.push(c_out);
            }
        }

        let lowest = pixels(levels.saturating_sub(1));
        if !self.layout.middle.absent {
            self.add_stage(&mut work, (channels, channels), self.mid_attention, lowest);
            self.add_stage(&mut work, (channels, channels), false, lowest);
        }

        for level in (0..levels).rev() {
            let c_out = self.level_channels(level);
            for _ in 0..=self.blocks_per_level {
                let c_in = channels + skips.pop().unwrap_or(0);
                self.add_stage(&mut work, (c_in, c_out), self.attends_up(level), pixels(level));
                channels = c_out;
            }
            if level > 0 {
                self.add_resampling(&mut work, self.upsampling(level), c_out, pixels(level - 1));
            }
        }
        work.layers += conv(channels, self.out_channels, 3, pixels(0));
        work
    }

    /// Resampling to a map of this many pixels. A residual block runs all its convolutions at that size.
    fn add_resampling(&self, work: &mut Work, kind: Resampling, channels: usize, pixels: f64) {
        match kind {
            Resampling::Conv => work.layers += conv(channels, channels, 3, pixels),
            Resampling::Resnet => self.add_stage(work, (channels, channels), false, pixels),
            Resampling::Plain => {}
        }
    }

    /// A residual block, with attention if the level has it.
    fn add_stage(&self, work: &mut Work, (c_in, c_out): (usize, usize), attends: bool, pixels: f64) {
        work.layers += conv(c_in, c_out, 3, pixels) + conv(c_out, c_out, 3, pixels);
        if c_in != c_out {
            work.layers += conv(c_in, c_out, 1, pixels);
        }
        work.layers += match (self.time_injection, self.time_form) {
            (TimeInjection::Input, _) => 0.0,
            (TimeInjection::PerBlock, TimeForm::Additive) => linear(self.time_width(), c_out),
            (TimeInjection::PerBlock, TimeForm::ScaleShift) => linear(self.time_width(), 2 * c_out),
        };
        if attends {
            // q, k, v and the output for every pixel; then the two products, which do not depend on the number of
            // heads.
            work.layers += 4.0 * linear(c_out, c_out) * pixels;
            work.attention += 2.0 * pixels * pixels * c_out as f64;
        }
    }
}

impl EmbeddingConfig {
    /// Dimensions of the encoded t.
    pub(super) fn dim(&self) -> usize {
        match *self {
            Self::Normalized { frequencies } | Self::Fourier { frequencies, .. } => 2 * frequencies,
            Self::Transformer { dim, .. } | Self::Table { dim, .. } => dim,
        }
    }
}

/// A convolution with a square kernel and this many output pixels.
fn conv(c_in: usize, c_out: usize, kernel: usize, pixels: f64) -> f64 {
    (c_in * kernel * kernel) as f64 * c_out as f64 * pixels
}

/// A linear layer applied to one vector.
fn linear(from: usize, to: usize) -> f64 {
    from as f64 * to as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SinusoidOrder;

    /// The network for comparison with other implementations, from the preset `small-32`.
    fn small_32() -> UNetConfig {
        let embedding =
            EmbeddingConfig::Transformer { dim: 32, order: SinusoidOrder::SinFirst, freq_shift: 1 };
        UNetConfig { embedding, ..UNetConfig::preset("small-32").unwrap() }
    }

    /// Exactly what FlopCounterMode of PyTorch 2.11 counts for one image of the same networks, built as UNet2DModel of
    /// diffusers 0.42.1, with the math backend for attention, which the counter sees.
    #[test]
    fn agrees_with_pytorchs_count() {
        let rows = [
            (small_32(), 719_208_448.0, 725_499_904.0, 2_157_027_328.0, 2_175_901_696.0),
            (
                UNetConfig::preset("ddpm-cifar10").unwrap(),
                12_107_907_072.0,
                12_443_713_536.0,
                36_316_512_256.0,
                37_323_931_648.0,
            ),
        ];
        for (network, call, with_attention, training, training_with) in rows {
            let work = network.work(32, 32);
            let sum = |flop: Flop| flop.layers + flop.attention;
            assert_eq!((work.call(1).layers, sum(work.call(1))), (call, with_attention));
            assert_eq!((work.training(1).layers, sum(work.training(1))), (training, training_with));
        }
    }

    /// The published costs per step, which have one decimal.
    #[test]
    fn steps_have_the_published_cost() {
        let close = |flop: Flop, want: f64| {
            assert!((flop.layers / 1e9 - want).abs() <= 0.05, "{flop:?} is not {want} GFLOP");
        };
        close(small_32().work(32, 32).training(64), 138.0);
        close(small_32().work(32, 32).call(16), 11.5);
        let paper = UNetConfig::preset("ddpm-cifar10").unwrap().work(32, 32);
        close(paper.training(8), 290.5);
        close(paper.call(8), 96.9);
    }

    /// Without attention and time, four times the pixels need four times the work.
    #[test]
    fn grows_with_the_pixels() {
        let plain = UNetConfig {
            mid_attention: false,
            attention_resolutions: Vec::new(),
            time_injection: TimeInjection::Input,
            ..small_32()
        };
        let of_time = linear(32, 128) + linear(128, 128) + linear(128, 32);
        let (one, four) = (plain.work(32, 32).layers - of_time, plain.work(64, 64).layers - of_time);
        assert_eq!(4.0 * one, four);
        assert_eq!(plain.work(32, 64), plain.work(64, 32));
    }

    /// A network small enough to count by hand: one level, one block, 8 pixels.
    #[test]
    fn one_level_by_hand() {
        let tiny = UNetConfig {
            channel_mults: vec![1],
            base_channels: 4,
            groups: 2,
            attention_resolutions: Vec::new(),
            mid_attention: true,
            time_channels: 3,
            time_form: TimeForm::ScaleShift,
            embedding: EmbeddingConfig::Normalized { frequencies: 5 },
            ..UNetConfig::preset("tiny-16").unwrap()
        };
        let (pixels, time) = (8.0, 3.0 * 8.0);
        // Two convolutions from 4 to 4 channels; the decoder's first has 8 input channels and a 1x1 skip convolution.
        let same = 2.0 * 4.0 * 9.0 * 4.0 * pixels + time;
        let joined = (8.0 + 4.0) * 9.0 * 4.0 * pixels + 8.0 * 4.0 * pixels + time;
        let around_attention = 4.0 * 16.0 * pixels;
        let (first, last, encoded) = (9.0 * 4.0 * pixels, 4.0 * 9.0 * pixels, 10.0 * 3.0);
        // Encoder: one block; bottom: two; decoder: two, both with a skip connection.
        let want = first + last + encoded + 9.0 + 3.0 * same + 2.0 * joined + around_attention;
        let attention = 2.0 * 64.0 * 4.0;
        assert_eq!(tiny.work(2, 4), Work { layers: want, of_inputs: first + encoded, attention });
    }
}
