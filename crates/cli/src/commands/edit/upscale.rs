//! `ddpm edit upscale`: larger versions of a small image.

use clap::Args;
use ndarray::{Array3, Array4};
use sampler::Known;

use crate::commands::edit::fill::FillArgs;
use crate::commands::edit::frame;
use crate::commands::edit::setup::Common;
use crate::commands::edit::source::ImageArgs;
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::model::Loaded;
use crate::output;

/// Draws larger images that shrink to a small one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit upscale --image small.png --factor 4 --count 8
  ddpm edit upscale --index 3 --factor 7    # an image of the data, shrunk

grid.png shows the given image, with --index also the original, and the results. The mean of each \
block of factor x factor pixels is that of the small image's pixel.")]
pub(crate) struct Upscale {
    #[command(flatten)]
    image: ImageArgs,
    /// How many times smaller the image is than the network's images, per side
    #[arg(long, value_name = "F", default_value_t = 4)]
    factor: usize,
    #[command(flatten)]
    fill: FillArgs,
    #[command(flatten)]
    common: Common,
}

impl Upscale {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.fill.check()?;
        let setup = self.common.open("upscale", global)?;
        let (loaded, source) = (&setup.loaded, self.image.source());
        let size = frame::size(loaded);
        self.check_factor(loaded)?;
        let small_size = (size.0 / self.factor, size.1 / self.factor);
        // An image of the data has the network's size, so it shows the best possible result.
        let original = source.file.is_none().then(|| source.read(loaded)).transpose()?;
        let small = match &original {
            Some(image) => shrunk(image, self.factor),
            None => source.read_as(loaded, small_size)?,
        };
        let enlarged = enlarged(&small, self.factor);
        // The border is a whole number of blocks, so the enlarged image can have it.
        let framed = frame::x_0(&enlarged, loaded)?;
        let factor = self.factor as i64;
        let means = framed.f_avg_pool2d([factor; 2], [factor; 2], [0; 2], false, true, None::<i64>)?;
        let known = Known::means(&means, self.factor)?;
        let framed_small = self.framed(&small, loaded);
        let before: Vec<_> = original
            .iter()
            .map(|image| ("original", image.view()))
            .chain([("given", enlarged.view())])
            .collect();
        self.fill.run(&setup, &known, &before, |images| {
            let mut pixels = dataset::from_model(tensor_io::to_array(&images)?.into_dimensionality()?.view());
            keep_means(&mut pixels, &framed_small, self.factor);
            Ok(output::to_tensor(&pixels)?.to_device(images.device()))
        })
    }

    /// The small image with the network's black border, in blocks.
    fn framed(&self, small: &Array3<u8>, loaded: &Loaded) -> Array3<u8> {
        let images = &loaded.images;
        let [top, _, left, _] = images.padding.map(|side| side / self.factor);
        let size = (images.height / self.factor, images.width / self.factor, images.channels);
        let mut framed = Array3::zeros(size);
        for ((y, x, c), value) in small.indexed_iter() {
            framed[[y + top, x + left, c]] = *value;
        }
        framed
    }

    /// Checks that blocks divide the image and the border.
    fn check_factor(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let (height, width) = frame::size(loaded);
        let [top, bottom, left, right] = loaded.images.padding;
        let divides = |factor: usize| {
            [height, width, top, bottom, left, right].iter().all(|side| side.is_multiple_of(factor))
        };
        if self.factor >= 2 && divides(self.factor) {
            return Ok(());
        }
        let possible: Vec<String> =
            (2..=height.min(width)).filter(|&n| divides(n)).map(|n| n.to_string()).collect();
        bail_usage!(
            "--factor {}: expected one that divides {width}x{height}, the size of this network's images: {}",
            self.factor,
            if possible.is_empty() { "there is none".to_owned() } else { possible.join(", ") }
        );
    }
}

/// The means of blocks, rounded.
fn shrunk(image: &Array3<u8>, factor: usize) -> Array3<u8> {
    let (height, width, channels) = image.dim();
    Array3::from_shape_fn((height / factor, width / factor, channels), |(y, x, c)| {
        let block = (0..factor * factor).map(|k| [y * factor + k / factor, x * factor + k % factor, c]);
        let (sum, count) = (block.map(|at| usize::from(image[at])).sum::<usize>(), factor * factor);
        ((sum + count / 2) / count) as u8
    })
}

/// Gives every block exactly the mean that the small image has there. Rounding to whole greys has moved it by a
/// fraction of one. The pixels that change are spread over the block, most of them by 1.
fn keep_means(pixels: &mut Array4<u8>, small: &Array3<u8>, factor: usize) {
    let count = pixels.dim().0;
    for image in 0..count {
        for ((y, x, c), &mean) in small.indexed_iter() {
            let mut places = (0..factor * factor)
                .map(|k| [image, y * factor + k / factor, x * factor + k % factor, c])
                .collect::<Vec<_>>();
            let sum: i64 = places.iter().map(|&at| i64::from(pixels[at])).sum();
            let mut missing = i64::from(mean) * places.len() as i64 - sum;
            while missing != 0 {
                let end = if missing > 0 { 255 } else { 0 };
                // Some are left, since a mean in 0..=255 lies between the two ends.
                places.retain(|&at| pixels[at] != end);
                let (open, total) = (places.len() as i64, missing.abs());
                // Change each by the same amount, or every few by 1.
                let each = (total / open).max(1);
                let moved = total.min(open);
                for (k, &at) in (0..).zip(&places) {
                    if (k + 1) * moved / open > k * moved / open {
                        let by = each.min((i64::from(pixels[at]) - i64::from(end)).abs()) * missing.signum();
                        pixels[at] = (i64::from(pixels[at]) + by) as u8;
                    }
                }
                let sum: i64 = places.iter().map(|&at| i64::from(pixels[at])).sum();
                let fixed = factor * factor - places.len();
                missing = i64::from(mean) * (factor * factor) as i64 - sum - fixed as i64 * i64::from(end);
            }
        }
    }
}

/// Every pixel as a block.
fn enlarged(image: &Array3<u8>, factor: usize) -> Array3<u8> {
    let (height, width, channels) = image.dim();
    Array3::from_shape_fn((height * factor, width * factor, channels), |(y, x, c)| {
        image[[y / factor, x / factor, c]]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_get_exactly_their_means() {
        let small = Array3::from_shape_fn((4, 4, 3), |(y, x, c)| match (y * 4 + x + c) % 5 {
            0 => 0,
            1 => 255,
            k => (k * 61 + y) as u8,
        });
        for factor in [1, 2, 3, 4, 7] {
            // Noise over all greys, many of them at an end.
            let noise = |k: usize| (k.wrapping_mul(2_654_435_761) >> 7) % 512;
            let shape = (2, 4 * factor, 4 * factor, 3);
            let mut pixels = Array4::from_shape_fn(shape, |(n, y, x, c)| {
                noise(((n * 64 + y) * 64 + x) * 3 + c).saturating_sub(128).min(255) as u8
            });
            keep_means(&mut pixels, &small, factor);
            for image in pixels.outer_iter() {
                for ((y, x, c), &mean) in small.indexed_iter() {
                    let block =
                        (0..factor * factor).map(|k| [y * factor + k / factor, x * factor + k % factor, c]);
                    let sum: usize = block.map(|at| usize::from(image[at])).sum();
                    assert_eq!(sum, usize::from(mean) * factor * factor, "{factor}: {y}, {x}, {c}");
                }
            }
        }
        // A correct image stays as it is.
        let mut right = enlarged(&small, 2).insert_axis(ndarray::Axis(0));
        let before = right.clone();
        keep_means(&mut right, &small, 2);
        assert_eq!(right, before);
    }

    #[test]
    fn shrinking_an_enlarged_image_gives_it_back() {
        let small = Array3::from_shape_fn((3, 2, 3), |(y, x, c)| (y * 80 + x * 31 + c * 7) as u8);
        assert_eq!(shrunk(&enlarged(&small, 4), 4), small);
        let mean = shrunk(&Array3::from_shape_fn((2, 2, 1), |(y, x, _)| (y * 2 + x) as u8), 2);
        assert_eq!(mean[[0, 0, 0]], 2, "1.5 is rounded up");
    }
}
