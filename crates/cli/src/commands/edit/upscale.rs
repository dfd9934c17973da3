//! `ddpm edit upscale`: a larger image of a small one.

use std::process::ExitCode;

use clap::Args;
use ndarray::Array3;
use sampler::Known;

use crate::commands::edit::fill::FillArgs;
use crate::commands::edit::frame;
use crate::commands::edit::setup::Common;
use crate::commands::edit::source::ImageArgs;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::model::Loaded;

/// Draws larger images that shrink to a small one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit upscale --image small.png --factor 4 --count 8
  ddpm edit upscale --index 3 --factor 7      # an image of the data, shrunk first

grid.png shows the small image, and with --index the original. The mean of each block of factor x factor
pixels is that of the small image's pixel.")]
pub(crate) struct Upscale {
    #[command(flatten)]
    image: ImageArgs,
    /// How many times smaller the image is than those of the network, on each side
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
        // An image of the data has the network's size: it is known what comes out at best.
        let original = source.file.is_none().then(|| source.read(loaded)).transpose()?;
        let small = match &original {
            Some(image) => shrunk(image, self.factor),
            None => source.read_as(loaded, small_size)?,
        };
        let enlarged = enlarged(&small, self.factor);
        // The border of the network counts in whole blocks, so the enlarged image may have it.
        let framed = frame::x_0(&enlarged, loaded)?;
        let factor = self.factor as i64;
        let means = framed.f_avg_pool2d([factor; 2], [factor; 2], [0; 2], false, true, None::<i64>)?;
        let known = Known::means(&means, self.factor)?;
        let before: Vec<_> = original.iter().chain([&enlarged]).map(Array3::view).collect();
        self.fill.run(&setup, &known, &before)
    }

    /// Blocks must lie within the image, and within the border.
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
            "--factor {}: expected one that divides {height}x{width}, the size of this network's images: {}",
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
    fn shrinking_an_enlarged_image_gives_it_back() {
        let small = Array3::from_shape_fn((3, 2, 3), |(y, x, c)| (y * 80 + x * 31 + c * 7) as u8);
        assert_eq!(shrunk(&enlarged(&small, 4), 4), small);
        let mean = shrunk(&Array3::from_shape_fn((2, 2, 1), |(y, x, _)| (y * 2 + x) as u8), 2);
        assert_eq!(mean[[0, 0, 0]], 2, "1.5 is rounded up");
    }
}
