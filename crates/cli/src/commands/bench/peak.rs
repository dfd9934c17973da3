//! The peak speed of this machine: its fastest 3x3 convolution of shapes like the network's.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor, no_grad_guard};
use unet::UNetConfig;

use super::parts::finish;

/// Operations in one call, at most. More do not make a convolution faster, only the measurement longer.
const MOST_FLOP: f64 = 2e10;
/// Calls per shape, at least; more follow until the time is up.
const CALLS: usize = 4;
const PATIENCE: Duration = Duration::from_millis(120);

/// A 3x3 convolution that keeps the image size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    images: usize,
    c_in: usize,
    c_out: usize,
    height: usize,
    width: usize,
}

impl Shape {
    fn flop(&self) -> f64 {
        2.0 * (self.images * self.height * self.width) as f64 * (9 * self.c_in) as f64 * self.c_out as f64
    }
}

/// Operations per second of the fastest forward 3x3 convolution, over all levels and both memory layouts.
///
/// # Errors
/// Errors from libtorch, such as lack of memory.
pub(super) fn flop_per_s(
    network: &UNetConfig,
    images: usize,
    [_, height, width]: [i64; 3],
    (kind, device): (Kind, Device),
) -> anyhow::Result<f64> {
    let mut best: f64 = 0.0;
    for shape in shapes(network, images, (height as usize, width as usize)) {
        for channels_last in [false, true] {
            let seconds = fastest(shape, channels_last, kind, device)?;
            best = best.max(shape.flop() / seconds);
        }
    }
    Ok(best)
}

/// For each level, the convolution inside a block and the decoder's, whose input includes a skip connection.
fn shapes(network: &UNetConfig, images: usize, (height, width): (usize, usize)) -> Vec<Shape> {
    let mut all: Vec<Shape> = Vec::new();
    for level in 0..network.levels() {
        let c_out = network.level_channels(level);
        for c_in in [c_out, 2 * c_out] {
            let one = Shape { images: 1, c_in, c_out, height: height >> level, width: width >> level };
            let most = (MOST_FLOP / one.flop()).max(1.0) as usize;
            let shape = Shape { images: images.min(most), ..one };
            if !all.contains(&shape) {
                all.push(shape);
            }
        }
    }
    all
}

/// Seconds of the fastest of a few calls.
fn fastest(shape: Shape, channels_last: bool, kind: Kind, device: Device) -> anyhow::Result<f64> {
    let _no_grad = no_grad_guard();
    let tensor = |sizes: [usize; 4]| -> anyhow::Result<Tensor> {
        // Use ones: zeros and noise may produce denormal numbers, which are slow on some processors.
        let plain = Tensor::f_ones(sizes.map(|n| n as i64), (kind, device))?;
        Ok(if channels_last { torch_ext::channels_last(&plain, kind)? } else { plain })
    };
    let x = tensor([shape.images, shape.c_in, shape.height, shape.width])?;
    let weight = tensor([shape.c_out, shape.c_in, 3, 3])?;
    let mut best = f64::INFINITY;
    let call = || -> anyhow::Result<f64> {
        let begun = Instant::now();
        let _y = x.f_conv2d(&weight, None::<&Tensor>, 1, 1, 1, 1)?;
        finish(device);
        Ok(begun.elapsed().as_secs_f64())
    };
    // The first call allocates, and chooses and compiles the kernel.
    call()?;
    let (begun, mut calls) = (Instant::now(), 0);
    while calls < CALLS || begun.elapsed() < PATIENCE {
        best = best.min(call()?);
        calls += 1;
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_levels_and_bounded() {
        let small = UNetConfig { channel_mults: vec![1, 2], ..UNetConfig::preset("small-32").unwrap() };
        let shape = |c_in, c_out, side| Shape { images: 16, c_in, c_out, height: side, width: side };
        let want = [shape(32, 32, 32), shape(64, 32, 32), shape(64, 64, 16), shape(128, 64, 16)];
        assert_eq!(shapes(&small, 16, (32, 32)), want);
        assert_eq!(want[0].flop(), 2.0 * 16.0 * 1024.0 * 9.0 * 32.0 * 32.0);
        let wide = shapes(&UNetConfig::preset("ddpm-cifar10").unwrap(), 4096, (32, 32));
        assert!(wide.iter().all(|shape| shape.images >= 1 && shape.flop() <= MOST_FLOP), "{wide:?}");
    }

    /// The peak is positive and below what any machine can reach.
    #[test]
    fn the_peak_is_a_speed() {
        let tiny = UNetConfig::preset("tiny-16").unwrap();
        let peak = flop_per_s(&tiny, 2, [1, 16, 16], (Kind::Float, Device::Cpu)).unwrap();
        assert!((1e6..1e15).contains(&peak), "{peak}");
    }
}
