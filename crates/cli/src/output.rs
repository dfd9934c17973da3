//! Images out: grids, single PNGs, arrays.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, ensure};
use dataset::{AnyArray, Padding};
use ndarray::{Array1, Array4, ArrayView4, Axis, Ix4};
use tch::Tensor;

use crate::conditioning::Conditioning;
use crate::config::ImagesConfig;
use crate::failure::bail_usage;

/// A form in which images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All in one `grid.png`.
    Grid,
    /// Each in its own `00000.png`.
    Png,
    /// All in `samples.npz`, array `images`, u8 `[n, h, w, c]`, and `labels`, i64 `[n]`, where there are classes; and
    /// whatever arrays a command adds.
    Npz,
}

impl FromStr for Form {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "grid" => Ok(Self::Grid),
            "png" => Ok(Self::Png),
            "npz" => Ok(Self::Npz),
            _ => bail_usage!("--save {name}: expected grid, png or npz, several with commas between"),
        }
    }
}

/// Tensor `[b, c, h, w]` in [-1, 1] to u8 `[b, h, w, c]`, without the border the network needed.
pub(crate) fn to_pixels(x: &Tensor, images: &ImagesConfig) -> anyhow::Result<Array4<u8>> {
    array_to_pixels(tensor_io::to_array(x)?.into_dimensionality::<Ix4>()?.view(), images)
}

/// The same of an array.
pub(crate) fn array_to_pixels(x: ArrayView4<'_, f32>, images: &ImagesConfig) -> anyhow::Result<Array4<u8>> {
    let [top, bottom, left, right] = images.padding;
    let (padding, mut pixels) = (Padding { top, bottom, left, right }, dataset::from_model(x));
    if !padding.is_none() {
        let (height, width) = (pixels.len_of(Axis(1)), pixels.len_of(Axis(2)));
        ensure!(top + bottom < height && left + right < width, "the border is larger than the images");
        pixels.slice_axis_inplace(Axis(1), (top..height - bottom).into());
        pixels.slice_axis_inplace(Axis(2), (left..width - right).into());
    }
    Ok(pixels)
}

/// u8 `[b, h, w, c]` to the tensor `[b, c, h, w]` the network works on; sizes must be the network's.
pub(crate) fn to_tensor(pixels: &Array4<u8>) -> anyhow::Result<Tensor> {
    Ok(tensor_io::from_array(&dataset::to_model(pixels.view()).view().into_dyn())?)
}

/// A nearly square grid.
pub(crate) fn grid(pixels: &Array4<u8>) -> anyhow::Result<figures::Canvas> {
    class_grid(pixels, 1)
}

/// How many times images of a height are enlarged to be seen: small ones are, by whole pixels.
pub(crate) fn scale(height: usize) -> usize {
    (96 / height.max(1)).clamp(1, 4)
}

/// A grid of images whose classes come round every `classes` images: a row a class where the classes are as
/// often there as each other, else nearly square in the order of the images.
pub(crate) fn class_grid(pixels: &Array4<u8>, classes: usize) -> anyhow::Result<figures::Canvas> {
    let count = pixels.len_of(Axis(0));
    let (columns, order) = class_rows(count, classes);
    let ordered = order.map(|order| pixels.select(Axis(0), &order));
    let scale = scale(pixels.len_of(Axis(1)));
    Ok(figures::grid(ordered.as_ref().unwrap_or(pixels).view(), columns, scale, 2)?)
}

/// Columns of a grid, and its images row by row where that is another order than theirs.
fn class_rows(count: usize, classes: usize) -> (usize, Option<Vec<usize>>) {
    // More than one image of each, or the grid would be a single column.
    if classes < 2 || count < 2 * classes || !count.is_multiple_of(classes) {
        return (figures::square_columns(count), None);
    }
    let columns = count / classes;
    (columns, Some((0..count).map(|place| place % columns * classes + place / columns).collect()))
}

/// The grid as PNG.
pub(crate) fn grid_png(pixels: &Array4<u8>) -> anyhow::Result<Vec<u8>> {
    Ok(grid(pixels)?.png()?)
}

/// Refuses a file where a folder is going to be, before any work is done for it.
pub(crate) fn check_folder(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.exists() && !path.is_dir() {
        bail_usage!("{flag} {}: expected a folder or a new name, found a file", path.display());
    }
    Ok(())
}

/// Saves images in every wanted form, and with the arrays the labels of conditional ones; returns the files, the
/// grid first.
pub(crate) fn save(
    pixels: &Array4<u8>,
    forms: &[Form],
    folder: &Path,
    conditioning: &Conditioning,
) -> anyhow::Result<Vec<PathBuf>> {
    save_with(pixels, forms, folder, conditioning, Vec::new())
}

/// [`save`], with more arrays beside the images in the archive.
pub(crate) fn save_with(
    pixels: &Array4<u8>,
    forms: &[Form],
    folder: &Path,
    conditioning: &Conditioning,
    mut arrays: Vec<(&str, AnyArray)>,
) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("--out {}", folder.display()))?;
    let classes = conditioning.classes().len();
    let mut written = Vec::new();
    if forms.contains(&Form::Grid) {
        let path = folder.join("grid.png");
        files::write_atomic(&path, &class_grid(pixels, classes)?.png()?)
            .with_context(|| path.display().to_string())?;
        written.push(path);
    }
    if forms.contains(&Form::Npz) {
        let path = folder.join("samples.npz");
        if classes > 0 {
            let labels = Array1::from(conditioning.labels(0..pixels.len_of(Axis(0))));
            arrays.insert(0, ("labels", AnyArray::from(labels)));
        }
        arrays.insert(0, ("images", AnyArray::U8(pixels.clone().into_dyn())));
        dataset::write_npz(&path, &arrays)?;
        written.push(path);
    }
    if forms.contains(&Form::Png) {
        for (index, image) in pixels.axis_iter(Axis(0)).enumerate() {
            let path = folder.join(format!("{index:05}.png"));
            dataset::save_png(&path, image)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// The result of a command on standard output: JSON with `--json`, else a line for people.
pub(crate) fn finish(
    global: &crate::flags::Global,
    summary: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if global.json {
        print(&summary.to_string())
    } else if global.quiet {
        Ok(())
    } else {
        print(&line())
    }
}

/// Writes lines to standard output; a closed pipe is an error, not a panic.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::class_rows;

    #[test]
    fn a_row_holds_one_class() {
        let (columns, order) = class_rows(12, 3);
        let order = order.unwrap();
        assert_eq!(columns, 4);
        for (row, images) in order.chunks(columns).enumerate() {
            assert!(images.iter().all(|image| image % 3 == row), "row {row}: {images:?}");
            assert!(images.is_sorted(), "row {row}: {images:?}");
        }
        // No whole rows, a single column, no classes: square, in order.
        for (count, classes) in [(11, 3), (3, 3), (2, 3), (16, 1), (16, 0)] {
            assert_eq!(class_rows(count, classes), (figures::square_columns(count), None));
        }
    }
}
