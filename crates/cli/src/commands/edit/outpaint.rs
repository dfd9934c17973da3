//! `ddpm edit outpaint`: draws around an image.

use clap::Args;
use ndarray::Array3;
use sampler::Known;

use crate::commands::edit::fill::FillArgs;
use crate::commands::edit::region::{self, Region};
use crate::commands::edit::setup::Common;
use crate::commands::edit::source::ImageArgs;
use crate::commands::edit::{frame, mask};
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::flags::Global;

/// Draws around an image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit outpaint --image shoe.png --left 4 --right 4 --top 8
  ddpm edit outpaint --index 3 --keep 7,7,14,14

The network draws images of one size, so the image is shrunk to the space inside the margins, \
after cropping it to those proportions. grid.png shows that first.")]
pub(crate) struct Outpaint {
    #[command(flatten)]
    image: ImageArgs,
    /// Columns to draw on the left
    #[arg(long, value_name = "N", default_value_t = 0)]
    left: usize,
    /// Columns to draw on the right
    #[arg(long, value_name = "N", default_value_t = 0)]
    right: usize,
    /// Rows to draw above
    #[arg(long, value_name = "N", default_value_t = 0)]
    top: usize,
    /// Rows to draw below
    #[arg(long, value_name = "N", default_value_t = 0)]
    bottom: usize,
    /// Place the image in this rectangle instead
    #[arg(long, value_name = "X,Y,W,H", conflicts_with_all = ["left", "right", "top", "bottom"])]
    keep: Option<Region>,
    #[command(flatten)]
    fill: FillArgs,
    #[command(flatten)]
    common: Common,
}

impl Outpaint {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.fill.check()?;
        let setup = self.common.open("outpaint", global)?;
        let loaded = &setup.loaded;
        let size = frame::size(loaded);
        let (keep, flag) = match self.keep {
            Some(keep) => {
                region::check(&keep, "--keep", size)?;
                (keep, format!("--keep {keep}"))
            }
            None => (self.inside_margins(size)?, "--left, --right, --top, --bottom".to_owned()),
        };
        let image = self.image.source().read_as(loaded, (keep.height, keep.width))?;
        let fill = keep.mask(size).mapv(|inside| !inside);
        mask::check(&flag, &fill, "the image would cover everything, so choose a smaller rectangle")?;
        let mut whole = Array3::zeros((size.0, size.1, loaded.images.channels));
        for ((y, x, c), value) in image.indexed_iter() {
            whole[[y + keep.y, x + keep.x, c]] = *value;
        }
        let known = Known::outside(&frame::x_0(&whole, loaded)?, &frame::mask(&fill, loaded)?)?;
        self.fill.run(&setup, &known, &[("given", frame::with_hole(&whole, &fill).view())], Ok)
    }

    /// The rectangle inside the margins of an image with these rows and columns.
    fn inside_margins(&self, (rows, columns): (usize, usize)) -> anyhow::Result<Region> {
        let Self { left, right, top, bottom, .. } = *self;
        if [left, right, top, bottom] == [0; 4] {
            bail_usage!("there is nothing to draw: pass a margin, such as --left 8, or --keep X,Y,W,H");
        }
        let rest = |side: usize, before: usize, after: usize| {
            side.checked_sub(before).and_then(|rest| rest.checked_sub(after)).filter(|&rest| rest > 0)
        };
        let Some(width) = rest(columns, left, right) else {
            bail_usage!("--left {left} --right {right}: leave nothing of {columns} columns for the image");
        };
        let Some(height) = rest(rows, top, bottom) else {
            bail_usage!("--top {top} --bottom {bottom}: leave nothing of {rows} rows for the image");
        };
        Ok(Region { x: left, y: top, width, height })
    }
}
