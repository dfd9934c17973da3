//! Reads single images of any supported format, and writes PNG.

use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use ndarray::{Array3, ArrayView3};

use crate::decode::{decode, dimensions};
use crate::error::DatasetError;
use crate::limits::{MAX_ENCODED_IMAGE, read_file};
use crate::pixels::{Fit, Pixels};
use crate::size::Size;

/// Reads a PNG, JPEG, WebP, BMP, GIF or TIFF file as `[h, w, c]`; the first frame or page if there are several.
///
/// `size` (1..=4096 pixels) makes it square using `fit`. `channels` is 1 or 3; `None` gives 1 if every pixel is grey.
///
/// # Errors
/// [`DatasetError::Io`], [`DatasetError::TooLarge`], [`DatasetError::Malformed`], [`DatasetError::BadOption`].
pub fn read_image(
    path: &Path,
    size: Option<usize>,
    channels: Option<usize>,
    fit: Fit,
) -> Result<Array3<u8>, DatasetError> {
    crate::OpenOptions { size: size.map(Size::from), channels, ..Default::default() }.validate()?;
    parse_image(&path.display().to_string(), &read_file(path, MAX_ENCODED_IMAGE)?, size, channels, fit)
}

/// Parses an image in memory, as [`read_image`] does for a file; `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Malformed`], [`DatasetError::BadOption`].
pub fn parse_image(
    name: &str,
    bytes: &[u8],
    size: Option<usize>,
    channels: Option<usize>,
    fit: Fit,
) -> Result<Array3<u8>, DatasetError> {
    crate::OpenOptions { size: size.map(Size::from), channels, ..Default::default() }.validate()?;
    let mut image = decode(bytes).map_err(|reason| no_image(name, reason))?;
    if let Some(size) = size {
        image = image.fit(size.into(), fit);
    }
    if let Some(channels) = channels {
        image = image.with_channels(channels);
    }
    let shape = (image.height, image.width, image.channels);
    Array3::from_shape_vec(shape, image.pixels).map_err(|e| no_image(name, e.to_string()))
}

/// The height and width in pixels of an image in memory, as shown, from its header alone. `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Malformed`].
pub fn image_size(name: &str, bytes: &[u8]) -> Result<(usize, usize), DatasetError> {
    let (width, height) = dimensions(bytes).map_err(|reason| no_image(name, reason))?;
    Ok((height as usize, width as usize))
}

/// The decoder's message may already contain what was expected.
fn no_image(name: &str, reason: String) -> DatasetError {
    match reason.split_once(", found ") {
        Some((expected, found)) => {
            DatasetError::malformed(name, "as an image", expected.trim_start_matches("expected "), found)
        }
        None => DatasetError::malformed(name, "as an image", "a whole one", reason),
    }
}

/// Resizes an image `[h, w, c]` with `c` 1 or 3: crops the largest centred part with the aspect ratio of `height` x
/// `width`, and scales it. Sides are 1..=4096 pixels.
///
/// # Errors
/// [`DatasetError::BadOption`] for a side out of range; [`DatasetError::Shape`] for an invalid image.
///
/// ```
/// let wide = ndarray::Array3::from_elem((4, 12, 1), 7);
/// assert_eq!(dataset::resize(wide.view(), 8, 6)?, ndarray::Array3::from_elem((8, 6, 1), 7));
/// # Ok::<(), dataset::DatasetError>(())
/// ```
pub fn resize(image: ArrayView3<'_, u8>, height: usize, width: usize) -> Result<Array3<u8>, DatasetError> {
    Size { height, width }.validate()?;
    let (from_height, from_width, channels) = image.dim();
    if from_height == 0 || from_width == 0 || ![1, 3].contains(&channels) {
        return Err(shape_error(image));
    }
    let pixels = image.iter().copied().collect();
    let resized = Pixels { height: from_height, width: from_width, channels, pixels }.cover(height, width);
    Array3::from_shape_vec((height, width, channels), resized.pixels).map_err(|_| shape_error(image))
}

/// Writes an image `[h, w, c]` as PNG, grey (`c` = 1) or RGB (`c` = 3), atomically.
///
/// # Errors
/// [`DatasetError::Shape`] for an empty image or other channels; [`DatasetError::Io`].
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("red.png");
/// let red = ndarray::Array3::from_shape_fn((4, 6, 3), |(_, _, c)| if c == 0 { 255 } else { 0 });
/// dataset::save_png(&path, red.view())?;
/// assert_eq!(dataset::read_image(&path, None, None, dataset::Fit::Crop)?, red);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_png(path: &Path, image: ArrayView3<'_, u8>) -> Result<(), DatasetError> {
    let bytes = encode_png(image)?;
    files::write_output(path, &bytes).map_err(|e| DatasetError::io(path, "write", e))
}

/// The bytes that [`save_png`] writes.
///
/// # Errors
/// [`DatasetError::Shape`] for an empty image or other channels.
pub fn encode_png(image: ArrayView3<'_, u8>) -> Result<Vec<u8>, DatasetError> {
    let (height, width, channels) = image.dim();
    let color = match channels {
        1 => ExtendedColorType::L8,
        _ => ExtendedColorType::Rgb8,
    };
    let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(shape_error(image));
    };
    if rows == 0 || columns == 0 || ![1, 3].contains(&channels) {
        return Err(shape_error(image));
    }
    let pixels: Vec<u8> = image.iter().copied().collect();
    let mut bytes = Vec::new();
    // Encoding fails only for a size that PNG cannot represent.
    PngEncoder::new(&mut bytes).write_image(&pixels, columns, rows, color).map_err(|_| shape_error(image))?;
    Ok(bytes)
}

fn shape_error(image: ArrayView3<'_, u8>) -> DatasetError {
    let (height, width, _) = image.dim();
    let expected = vec![height.max(1), width.max(1), 3];
    DatasetError::Shape { what: "image (1 or 3 channels)", expected, got: image.shape().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_round_trips_and_converts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = Array3::from_shape_fn((6, 4, 1), |(y, x, _)| (y * 40 + x) as u8);
        save_png(&path, image.view()).unwrap();
        assert_eq!(read_image(&path, None, None, Fit::Crop).unwrap(), image);
        assert_eq!(read_image(&path, Some(3), Some(3), Fit::Pad).unwrap().dim(), (3, 3, 3));
        // A view that is not contiguous is written in logical order.
        save_png(&path, image.view().permuted_axes([1, 0, 2])).unwrap();
        assert_eq!(read_image(&path, None, None, Fit::Crop).unwrap(), image.permuted_axes([1, 0, 2]));
    }

    #[test]
    fn resizing_refuses_empty_sizes() {
        let image = Array3::zeros((4, 4, 1));
        for (height, width) in [(0, 4), (4, 0), (4097, 4)] {
            let error = resize(image.view(), height, width).unwrap_err();
            assert!(matches!(error, DatasetError::BadOption { .. }), "{error}");
        }
        for shape in [(0, 4, 1), (4, 4, 2)] {
            assert!(matches!(resize(Array3::zeros(shape).view(), 2, 2), Err(DatasetError::Shape { .. })));
        }
    }

    #[test]
    fn anything_but_an_image_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert!(save_png(&path, Array3::zeros((2, 2, 2)).view()).is_err());
        assert!(save_png(&path, Array3::zeros((0, 2, 1)).view()).is_err());
        std::fs::write(&path, "hello").unwrap();
        assert!(matches!(read_image(&path, None, None, Fit::Crop), Err(DatasetError::Malformed { .. })));
        assert!(matches!(read_image(&path, Some(0), None, Fit::Crop), Err(DatasetError::BadOption { .. })));
        assert!(matches!(
            read_image(folder.path(), None, None, Fit::Crop),
            Err(DatasetError::Unsuitable { .. })
        ));
    }
}
