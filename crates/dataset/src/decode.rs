//! Decodes one image: PNG, JPEG, WebP, BMP, GIF and TIFF, recognised by content, within explicit limits.
//!
//! Palettes are expanded, 16 bits become 8, and the EXIF orientation is applied. Transparency is composited over white,
//! as in a browser. Of an animation the first frame is used, and of a TIFF file the first page.

use std::io::Cursor;
use std::panic::{self, UnwindSafe};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::image_format::{ACCEPTED, FORMATS, unread_format};
use crate::pixels::Pixels;
use crate::{gif_frame, jpeg, tiff_directory};

/// Maximum width and height in pixels.
pub(crate) const MAX_SIDE: u32 = 1 << 14;
/// Maximum memory for decoding one image, in bytes; a photo of 100 megapixels fits.
const MAX_ALLOC: u64 = 512 << 20;
/// Bytes of pixels that are allowed however small the file is.
const PIXELS_FREE: u64 = 16 << 20;
/// A progressive JPEG is allowed fewer: its coefficients take two bytes each while it is decoded.
const PROGRESSIVE_WORK: u64 = 2;
/// So is a TIFF file: its decoder keeps a second copy of the pixels.
const TIFF_WORK: u64 = 2;
/// Above that, bytes of pixels for each byte of the file. A mask of a few shapes reaches 1000. A false header has no
/// bound, and some decoders fill in what the file lacks.
const PIXELS_RATIO: u64 = 4096;
/// Maximum memory for the parts of a PNG other than its pixels, such as a deflated colour profile.
const MAX_PNG_EXTRAS: u64 = 16 << 20;

/// Whether there are frames or pages after the first, which are not used.
pub(crate) fn has_more_frames(bytes: &[u8]) -> bool {
    let more = guarded(|| {
        Ok(match image::guess_format(bytes) {
            Ok(ImageFormat::Gif) => gif_frame::is_animated(bytes),
            Ok(ImageFormat::Tiff) => tiff_directory::has_more_pages(bytes),
            _ => false,
        })
    });
    more == Ok(true)
}

/// Width and height as shown (after orientation), from the header alone. The error gives the reason.
pub(crate) fn dimensions(bytes: &[u8]) -> Result<(u32, u32), String> {
    guarded(|| {
        let (width, height, orientation) = match open(bytes)? {
            Opened::Jpeg(header) => {
                (header.frame.width.into(), header.frame.height.into(), header.orientation)
            }
            Opened::Gif((width, height)) => (width, height, Orientation::NoTransforms),
            Opened::Other(mut decoder) => {
                let orientation = decoder.orientation().map_err(|e| e.to_string())?;
                let (width, height) = decoder.dimensions();
                (width, height, orientation)
            }
        };
        // EXIF orientations 5 to 8 include a quarter turn.
        Ok(if orientation.to_exif() >= 5 { (height, width) } else { (width, height) })
    })
}

/// Decodes an image to 1 channel if every pixel is grey, else 3. The error gives the reason.
pub(crate) fn decode(bytes: &[u8]) -> Result<Pixels, String> {
    guarded(|| decode_unguarded(bytes))
}

/// Decoders are large, and some input may make one panic. For the user that is another damaged file.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    panic::catch_unwind(read).unwrap_or_else(|_| Err("the decoder failed unexpectedly".to_owned()))
}

fn decode_unguarded(bytes: &[u8]) -> Result<Pixels, String> {
    let (mut image, orientation) = match open(bytes)? {
        Opened::Jpeg(header) => (jpeg::decode(bytes, &header)?, header.orientation),
        Opened::Gif(_) => (gif_frame::decode(bytes)?.into(), Orientation::NoTransforms),
        Opened::Other(mut decoder) => {
            let orientation = decoder.orientation().map_err(|e| e.to_string())?;
            (DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?, orientation)
        }
    };
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let color = image.color();
    if !color.has_color() && !color.has_alpha() {
        return Ok(Pixels { height, width, channels: 1, pixels: image.into_luma8().into_raw() });
    }
    let transparent = color.has_alpha() && !has_no_alpha(bytes, &image);
    let pixels = if transparent { over_white(&image) } else { image.into_rgb8().into_raw() };
    let grey = pixels.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
    let image = Pixels { height, width, channels: 3, pixels };
    Ok(if grey { image.with_channels(1) } else { image })
}

/// An image whose header has been read and stays within the limits.
enum Opened<'a> {
    Jpeg(jpeg::Header),
    /// With the size of its canvas.
    Gif((u32, u32)),
    Other(Box<dyn ImageDecoder + 'a>),
}

fn open(bytes: &[u8]) -> Result<Opened<'_>, String> {
    if let Some(format) = unread_format(bytes) {
        return Err(format!("expected {ACCEPTED}, found {format}; convert it to JPEG or PNG"));
    }
    let format = image::guess_format(bytes).map_err(|_| match bytes.len() {
        0 => "the file is empty".to_owned(),
        _ => format!("expected {ACCEPTED}, found {:02x?}", &bytes[..bytes.len().min(8)]),
    })?;
    if !FORMATS.contains(&format) {
        return Err(format!("expected {ACCEPTED}, found {format:?}"));
    }
    if format == ImageFormat::Jpeg {
        let header = jpeg::header(bytes)?;
        let size = (header.frame.width.into(), header.frame.height.into());
        let work = if header.frame.is_progressive() { PROGRESSIVE_WORK } else { 1 };
        check_size(bytes, size, header.frame.pixel_bytes(), work)?;
        return Ok(Opened::Jpeg(header));
    }
    if format == ImageFormat::Gif {
        let (width, height) = gif_frame::canvas(bytes)?;
        // Decoded to RGBA.
        check_size(bytes, (width, height), 4 * u64::from(width) * u64::from(height), 1)?;
        return Ok(Opened::Gif((width, height)));
    }
    if format == ImageFormat::Tiff {
        tiff_directory::check(bytes)?;
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // The PNG decoder applies this to everything but the pixels, which are checked below.
    limits.max_alloc = Some(if format == ImageFormat::Png { MAX_PNG_EXTRAS } else { MAX_ALLOC });
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| match e {
        // A palette, for example.
        ImageError::Unsupported(_) if format == ImageFormat::Tiff => format!("{e}; save it as PNG"),
        e => e.to_string(),
    })?;
    // Some decoders check these limits late or not at all.
    let work = if format == ImageFormat::Tiff { TIFF_WORK } else { 1 };
    check_size(bytes, decoder.dimensions(), decoder.total_bytes(), work)?;
    Ok(Opened::Other(Box::new(decoder)))
}

/// Checks the size of an image and its bytes of pixels; `work` is how many times as much memory decoding takes.
fn check_size(bytes: &[u8], (width, height): (u32, u32), pixels: u64, work: u64) -> Result<(), String> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_ALLOC {
        return Err(format!(
            "expected 1x1 to {MAX_SIDE}x{MAX_SIDE} pixels within 512 MiB, found {width}x{height}"
        ));
    }
    let length = bytes.len() as u64;
    let granted = length.saturating_mul(PIXELS_RATIO).max(PIXELS_FREE / work);
    if pixels > granted {
        return Err(format!(
            "expected at most {granted} bytes of pixels in a file of {length} bytes, found {width}x{height}"
        ));
    }
    Ok(())
}

/// Whether to ignore the alpha channel. Many programs leave the fourth byte of BMP pixels 0, and browsers show such a
/// file as opaque. In PNG and WebP an alpha of 0 is intentional: an empty image is white like the page.
fn has_no_alpha(bytes: &[u8], image: &DynamicImage) -> bool {
    image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Bmp)
        && image.to_rgba8().pixels().all(|pixel| pixel[3] == 0)
}

/// The RGB values of an image with alpha, composited over white and rounded.
fn over_white(image: &DynamicImage) -> Vec<u8> {
    let rgba = image.to_rgba8();
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    rgba.pixels().flat_map(|p| [blend(p[0], p[3]), blend(p[1], p[3]), blend(p[2], p[3])]).collect()
}

#[cfg(test)]
mod tests;
