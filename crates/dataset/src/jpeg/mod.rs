//! Decodes JPEG to the pixels of libjpeg-turbo, or refuses the file.
//!
//! `jpeg-decoder` produces the pixels. `image` uses zune-jpeg instead. Version 0.5.15 decodes files with one scan per
//! component to green stripes (etemesi254/zune-image issues 419, 422, 448), and fills the missing part of a truncated
//! file with grey (pull requests 312 and 354), both without an error. `jpeg-decoder` refuses a truncated file, but
//! reads zeros for data that is missing before a marker. So [`verify`] first reads all coded data, and refuses a file
//! in which any is missing or left over.

mod blocks;
mod entropy;
mod frame;
mod scan;
mod segments;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

pub(crate) use frame::Frame;
use segments::{Segment, Segments};

/// What is known before decoding any pixel.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) frame: Frame,
    pub(crate) orientation: Orientation,
    transform: ColorTransform,
}

/// Reads the segments up to the first scan. The error says what is invalid or not supported.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, String> {
    let (mut frame, mut orientation, mut is_jfif, mut adobe) = (None, None, false, None);
    let mut segments = Segments::new(bytes)?;
    loop {
        match segments.take()? {
            Segment { marker: 0xc0..=0xc2, body } if frame.is_some() => {
                return Err(format!("expected one frame in a JPEG, found another of {} bytes", body.len()));
            }
            Segment { marker: marker @ 0xc0..=0xc2, body } => frame = Some(Frame::parse(marker, body)?),
            Segment { marker: 0xe0, body } => is_jfif |= body.starts_with(b"JFIF\0"),
            Segment { marker: 0xe1, body } => {
                let exif = body.strip_prefix(b"Exif\0\0");
                orientation = orientation.or_else(|| Orientation::from_exif_chunk(exif?));
            }
            // Identifier, version, two flags, then the transform.
            Segment { marker: 0xee, body } if body.starts_with(b"Adobe") => {
                adobe = body.get(11).copied().or(adobe);
            }
            Segment { marker: segments::SCAN, .. } => break,
            Segment { marker: segments::END, .. } => return Err("the JPEG ends before its pixels".to_owned()),
            _ => {}
        }
    }
    let frame = frame.ok_or("the JPEG has no frame header before its pixels")?;
    let transform = transform(&frame, is_jfif, adobe)?;
    Ok(Header { frame, orientation: orientation.unwrap_or(Orientation::NoTransforms), transform })
}

/// How the components become colours, by the rules of libjpeg.
fn transform(frame: &Frame, is_jfif: bool, adobe: Option<u8>) -> Result<ColorTransform, String> {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match (ids.as_slice(), adobe) {
        ([_], _) => Ok(ColorTransform::Grayscale),
        ([_, _, _], _) if is_jfif => Ok(ColorTransform::YCbCr),
        ([_, _, _], Some(0)) => Ok(ColorTransform::RGB),
        ([_, _, _], Some(_)) => Ok(ColorTransform::YCbCr),
        (b"RGB", None) => Ok(ColorTransform::RGB),
        // The wide-gamut types of JFIF extensions.
        ([1, 34, 35] | b"rgb", None) => {
            Err("the JPEG has wide-gamut colours, which are not supported".to_owned())
        }
        ([_, _, _], None) => Ok(ColorTransform::YCbCr),
        ([_, _, _, _], Some(2)) => Ok(ColorTransform::YCCK),
        ([_, _, _, _], _) => Ok(ColorTransform::CMYK),
        _ => Err(format!("expected 1, 3 or 4 components in a JPEG, found {}", ids.len())),
    }
}

/// Reads all coded data up to the end of the image, without decoding pixels.
///
/// A truncated file has no end-of-image marker. Damaged data nearly always ends before or after its blocks do: codes
/// have different lengths, so whatever follows a wrong one is read at the wrong bit. The format has no checksum,
/// however, so some damage cannot be detected: a changed bit of a value or of a refinement, a code changed to one of
/// the same length, and data that resynchronises after the right number of blocks.
fn verify(bytes: &[u8], frame: &Frame) -> Result<(), String> {
    let mut segments = Segments::new(bytes)?;
    let mut state = scan::State::new(frame);
    loop {
        match segments.take()? {
            Segment { marker: 0xc4, body } => state.tables.define(body)?,
            Segment { marker: 0xdd, body: &[high, low] } => state.restart = u16::from_be_bytes([high, low]),
            Segment { marker: 0xdd, .. } => return Err("the JPEG's restart interval is malformed".to_owned()),
            Segment { marker: 0xc0..=0xc2, body } if Frame::parse(frame.marker, body)? != *frame => {
                return Err("expected one frame in a JPEG, found another".to_owned());
            }
            Segment { marker: segments::SCAN, body } => {
                let end = state.scan(body, segments.rest())?;
                segments.skip(end);
            }
            Segment { marker: segments::END, .. } => return state.finish(),
            _ => {}
        }
    }
}

/// Verifies and decodes a file whose header has been accepted. The orientation is not applied yet.
pub(crate) fn decode(bytes: &[u8], header: &Header) -> Result<DynamicImage, String> {
    verify(bytes, &header.frame)?;
    let mut decoder = Decoder::new(bytes);
    decoder.set_color_transform(header.transform);
    let pixels = decoder.decode().map_err(|e| e.to_string())?;
    let format = decoder.info().map(|info| info.pixel_format);
    let (width, height) = (header.frame.width.into(), header.frame.height.into());
    let image = match format {
        Some(PixelFormat::L8) => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        Some(PixelFormat::RGB24) => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        Some(PixelFormat::CMYK32) => {
            RgbImage::from_raw(width, height, inks_to_rgb(pixels)).map(DynamicImage::from)
        }
        _ => None,
    };
    image.ok_or_else(|| "the decoder returned an image of another size".to_owned())
}

/// Converts amounts of cyan, magenta, yellow and black ink to RGB, as programs without colour profiles do.
fn inks_to_rgb(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for at in 0..count {
        let paper = 255 - u32::from(pixels[4 * at + 3]);
        for channel in 0..3 {
            let light = 255 - u32::from(pixels[4 * at + channel]);
            pixels[3 * at + channel] = ((light * paper + 127) / 255) as u8;
        }
    }
    pixels.truncate(3 * count);
    pixels
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Small files of every kind, made by `scripts/make_jpeg_corpus.py`.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jpeg/read");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let jpegs = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "jpg"));
        jpegs.map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// Decodes like the caller, but lets panics through, and skips images above the caller's limit.
    fn read(bytes: &[u8]) -> Result<(u32, u32), String> {
        let header = header(bytes)?;
        let size = (header.frame.width.into(), header.frame.height.into());
        if header.frame.pixel_bytes() > 1 << 20 || size.0 == 0 || size.1 == 0 {
            return Err("too large".to_owned());
        }
        let image = decode(bytes, &header)?;
        assert_eq!((image.width(), image.height()), size);
        Ok(size)
    }

    /// Changes each byte in turn: a panic would end the test.
    #[test]
    fn a_changed_byte_gives_an_image_or_an_error() {
        let (mut taken, mut refused) = (0, 0);
        for (seed, bytes) in corpus().into_iter().enumerate() {
            for at in (seed % 5..bytes.len()).step_by(5) {
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(1 + (at * 37 + seed) as u8 % 255);
                match read(&changed) {
                    Ok(_) => taken += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn colours_depend_on_the_markers() {
        let frame = |ids: &[u8]| {
            let components = ids.iter().map(|&id| frame::Component { id, across: 1, down: 1 }).collect();
            Frame { marker: 0xc0, width: 1, height: 1, components }
        };
        let of = |ids: &[u8], is_jfif, adobe| transform(&frame(ids), is_jfif, adobe).ok();
        assert!(matches!(of(b"RGB", false, None), Some(ColorTransform::RGB)));
        assert!(matches!(of(b"RGB", true, Some(0)), Some(ColorTransform::YCbCr)));
        assert!(matches!(of(&[1, 2, 3], false, Some(0)), Some(ColorTransform::RGB)));
        assert!(matches!(of(&[1, 2, 3], false, Some(1)), Some(ColorTransform::YCbCr)));
        assert!(matches!(of(&[1, 2, 3, 4], true, Some(2)), Some(ColorTransform::YCCK)));
        assert!(matches!(of(&[1, 2, 3, 4], true, None), Some(ColorTransform::CMYK)));
        assert!(of(&[1, 34, 35], false, None).is_none());
    }

    #[test]
    fn inks_are_multiplied() {
        let inks = vec![0, 0, 0, 0, 255, 0, 128, 0, 0, 0, 255, 51, 9, 9, 9, 255];
        assert_eq!(inks_to_rgb(inks), [255, 255, 255, 0, 255, 127, 204, 204, 0, 0, 0, 0]);
    }

    proptest! {
        /// Any bytes after a frame header, and any damage to a file, give an image or an error.
        #[test]
        fn anything_gives_an_image_or_an_error(
            file: prop::sample::Index,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let files = corpus();
            let mut bytes = file.get(&files).clone();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let _ = read(&bytes);
            let start = changes[0].0.index(bytes.len());
            bytes.splice(start..(start + noise.len()).min(bytes.len()), noise);
            let _ = read(&bytes);
        }
    }
}
