//! Image output: grids, single PNGs, arrays.

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, ensure};
use dataset::Padding;
use ndarray::{Array4, ArrayView4, Axis, Ix4};
use tch::Tensor;
use tracing::warn;

use crate::config::ImagesConfig;
use crate::failure::{bail_usage, is_out_of_room};
use crate::inputs;

/// A form in which images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All in one `grid.png`.
    Grid,
    /// Each in its own `00000.png`.
    Png,
    /// All in `samples.npz`: array `images`, u8 `[n, h, w, c]`, `labels`, i64 `[n]`, if there are classes, and any
    /// arrays that a command adds.
    Npz,
}

impl FromStr for Form {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "grid" => Ok(Self::Grid),
            "png" => Ok(Self::Png),
            "npz" => Ok(Self::Npz),
            _ => bail_usage!("--save {name}: expected grid, png or npz, several separated by commas"),
        }
    }
}

/// Tensor `[b, c, h, w]` in [-1, 1] to u8 `[b, h, w, c]`, without the network's border.
pub(crate) fn to_pixels(x: &Tensor, images: &ImagesConfig) -> anyhow::Result<Array4<u8>> {
    array_to_pixels(tensor_io::to_array(x)?.into_dimensionality::<Ix4>()?.view(), images)
}

/// The same for an array.
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

/// u8 `[b, h, w, c]` to the network's tensor `[b, c, h, w]`; sizes must match the network.
pub(crate) fn to_tensor(pixels: &Array4<u8>) -> anyhow::Result<Tensor> {
    Ok(tensor_io::from_array(&dataset::to_model(pixels.view()).view().into_dyn())?)
}

/// A nearly square grid.
pub(crate) fn grid(pixels: &Array4<u8>) -> anyhow::Result<figures::Canvas> {
    class_grid(pixels, 1)
}

/// Enlargement of images for viewing: a whole number, larger than 1 for small images.
pub(crate) fn scale(height: usize) -> usize {
    (96 / height.max(1)).clamp(1, 4)
}

/// A grid of images that show `classes` classes in turn. It has one row per class if all classes are equally frequent;
/// else it is nearly square, in the order of the images.
pub(crate) fn class_grid(pixels: &Array4<u8>, classes: usize) -> anyhow::Result<figures::Canvas> {
    let count = pixels.len_of(Axis(0));
    let (columns, order) = class_rows(count, classes);
    let ordered = order.map(|order| pixels.select(Axis(0), &order));
    let scale = scale(pixels.len_of(Axis(1)));
    Ok(figures::grid(ordered.as_ref().unwrap_or(pixels).view(), columns, scale, 2)?)
}

/// The columns of a grid, and the order of its images by rows if that is not their own order.
pub(crate) fn class_rows(count: usize, classes: usize) -> (usize, Option<Vec<usize>>) {
    // With only one image of each class, the grid would be a single column.
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

/// Refuses a folder in which these files cannot be written, before any work is done for them.
pub(crate) fn try_folder(flag: &str, folder: &Path, names: &[String]) -> anyhow::Result<()> {
    tried(flag, folder, files::try_folder(folder))?;
    for path in names.iter().map(|name| folder.join(name)).filter(|path| path.symlink_metadata().is_ok()) {
        tried(flag, &path, files::try_output(&path))?;
    }
    Ok(())
}

/// Refuses a file that cannot be written, before any work is done for it.
pub(crate) fn try_file(flag: &str, path: &Path) -> anyhow::Result<()> {
    tried(flag, path, files::try_output(path))
}

/// Refuses to write to what a flag or the configuration names for reading.
pub(crate) fn refuse_input(flag: &str, path: &Path) -> anyhow::Result<()> {
    if let Some(reader) = inputs::reader(path) {
        let harm = if path.is_dir() { "results would mix with its images" } else { "it would be replaced" };
        bail_usage!(
            "{flag} {}: this path is also read ({reader}), and {harm}; choose another {flag}",
            path.display()
        );
    }
    Ok(())
}

fn tried(flag: &str, path: &Path, result: io::Result<()>) -> anyhow::Result<()> {
    refuse_input(flag, path)?;
    let Err(error) = result else { return Ok(()) };
    let place = format!("{flag} {}", path.display());
    // No other path would help.
    if is_out_of_room(&error) {
        return Err(anyhow::Error::new(error).context(place));
    }
    // The system's message is about one part of the path, so it needs context.
    match error.raw_os_error() {
        Some(_) => bail_usage!("{place}: cannot be written ({error}); choose another path"),
        None => bail_usage!("{place}: {error}"),
    }
}

/// Ends a command whose results are in files: prints JSON on standard output with `--json`, else a line for people. A
/// failure to print is only a warning, because the work is done.
pub(crate) fn finish(
    global: &crate::flags::Global,
    summary: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if global.quiet && !global.json {
        return Ok(());
    }
    let told = answer(global, summary, line);
    match told {
        Err(error) if !global.json => {
            warn!("{error:#}");
            Ok(())
        }
        told => told,
    }
}

/// Prints the result of a command on standard output: JSON with `--json`, else text. `--quiet` does not suppress it, because
/// the user asked for it.
pub(crate) fn answer(
    global: &crate::flags::Global,
    summary: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if global.json { print(&summary.to_string()) } else { print(&line()) }
}

/// A count of images in words.
pub(crate) fn images(count: usize) -> String {
    files::counted(count, "image")
}

/// Writes lines to standard output. Escapes control characters; JSON is not affected.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    printed(writeln!(out, "{}", files::printable(text)).and_then(|()| out.flush()))
}

/// Judges a write to standard output. A reader that has gone, as after `| head`, is not a failure; a full disk is.
pub(crate) fn printed(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::class_rows;

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_do_not_make_a_path_wrong() {
        let told = |code| {
            let failed = Err(std::io::Error::from_raw_os_error(code));
            format!("{:#}", super::tried("--run", "y5".as_ref(), failed).unwrap_err())
        };
        let full = told(24);
        assert!(full.starts_with("--run y5: ") && !full.contains("choose another path"), "{full}");
        // EACCES.
        assert!(told(13).contains("choose another path"));
    }

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
