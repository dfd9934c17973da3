//! `ddpm edit inpaint`: fills in a part of an image.

use clap::Args;
use sampler::Known;

use crate::commands::edit::fill::FillArgs;
use crate::commands::edit::region::{self, Region};
use crate::commands::edit::setup::Common;
use crate::commands::edit::source::ImageArgs;
use crate::commands::edit::{frame, mask};
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::paths::InputPath;

/// Fills a part of an image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit inpaint --image shoe.png --mask hole.png --count 8
  ddpm edit inpaint --index 3 --box 14,0,14,28 --jump 10 --resample 10

grid.png shows the original, the given part and the results. Known pixels stay as they are.")]
pub(crate) struct Inpaint {
    #[command(flatten)]
    image: ImageArgs,
    /// Mask: an image of the same size, white or transparent where to fill
    #[arg(long, value_name = "FILE", required_unless_present = "region")]
    mask: Option<InputPath>,
    /// Fill this rectangle instead, in pixels of the network's images
    #[arg(long = "box", id = "region", value_name = "X,Y,W,H", conflicts_with = "mask")]
    region: Option<Region>,
    #[command(flatten)]
    fill: FillArgs,
    #[command(flatten)]
    common: Common,
}

impl Inpaint {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.fill.check()?;
        let setup = self.common.open("inpaint", global)?;
        let (loaded, source) = (&setup.loaded, self.image.source());
        let size = frame::size(loaded);
        let read = source.read(loaded)?;
        let file = (read.dim().0, read.dim().1);
        let (fill, flag) = match (&self.mask, &self.region) {
            (Some(path), _) => (mask::read(path, file, size)?, format!("--mask {}", path.display())),
            (None, Some(region)) => {
                region::check(region, "--box", size)?;
                (region.mask(size), format!("--box {region}"))
            }
            // clap requires one of the two.
            (None, None) => bail_usage!("pass --mask or --box: what is to be filled?"),
        };
        mask::check(&flag, &fill, "white or transparent pixels are filled")?;
        let image = source.resized(read, size)?;
        let known = Known::outside(&frame::x_0(&image, loaded)?, &frame::mask(&fill, loaded)?)?;
        let given = frame::with_hole(&image, &fill);
        self.fill.run(&setup, &known, &[("original", image.view()), ("given", given.view())], Ok)
    }
}
