//! Reads which pixels to fill from a black and white image.

use std::path::Path;

use anyhow::Context;
use dataset::Fit;
use ndarray::Array2;

use crate::failure::bail_usage;

/// Reads a mask: white or transparent pixels are to be filled. The mask either has the size of the image's file and is
/// resized as the image is, or has the size of the network's images, `size`.
pub(crate) fn read(path: &Path, file: (usize, usize), size: (usize, usize)) -> anyhow::Result<Array2<bool>> {
    let mask = dataset::read_image(path, None, Some(1), Fit::Crop).context("--mask")?;
    let (height, width, _) = mask.dim();
    if ![file, size].contains(&(height, width)) {
        let also = if file == size {
            String::new()
        } else {
            format!(", or {}x{}, that of this network's images", size.1, size.0)
        };
        bail_usage!(
            "--mask {}: is {width}x{height}, expected {}x{}, the size of the image{also}",
            path.display(),
            file.1,
            file.0
        );
    }
    dataset::to_mask(mask.view(), size.0, size.1).context("--mask")
}

/// Refuses a mask with nothing to fill, or nothing known. `flag` is where the mask came from, `hint` what to do.
pub(crate) fn check(flag: &str, fill: &Array2<bool>, hint: &str) -> anyhow::Result<()> {
    let count = fill.iter().filter(|&&fill| fill).count();
    if count == 0 {
        bail_usage!("{flag}: there is nothing to fill; {hint}");
    }
    if count == fill.len() {
        bail_usage!("{flag}: this fills the whole image; use `ddpm sample` to draw whole images");
    }
    Ok(())
}
