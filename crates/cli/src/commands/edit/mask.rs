//! Which pixels are to be filled, from an image of black and white.

use std::path::Path;

use anyhow::Context;
use dataset::Fit;
use ndarray::Array2;

use crate::failure::bail_usage;

/// Reads a mask for an image: white, or transparent, is to be filled. It has the size of the image's file, and goes the
/// way of the image then, or that of the network, `size`.
pub(crate) fn read(path: &Path, file: (usize, usize), size: (usize, usize)) -> anyhow::Result<Array2<bool>> {
    let mask = dataset::read_image(path, None, Some(1), Fit::Crop).context("--mask")?;
    let (height, width, _) = mask.dim();
    if ![file, size].contains(&(height, width)) {
        let also = if file == size {
            String::new()
        } else {
            format!(", or {}x{}, that of images of this network", size.0, size.1)
        };
        bail_usage!(
            "--mask {}: is {height}x{width}, expected {}x{}, the size of the image{also}",
            path.display(),
            file.0,
            file.1
        );
    }
    dataset::to_mask(mask.view(), size.0, size.1).context("--mask")
}

/// Refuses a mask that leaves nothing to do, or nothing to go by; `flag` is what said it, `hint` what would help.
pub(crate) fn check(flag: &str, fill: &Array2<bool>, hint: &str) -> anyhow::Result<()> {
    let count = fill.iter().filter(|&&fill| fill).count();
    if count == 0 {
        bail_usage!("{flag}: there is nothing to fill; {hint}");
    }
    if count == fill.len() {
        bail_usage!("{flag}: everything is to be filled; for images out of nothing use `ddpm sample`");
    }
    Ok(())
}
