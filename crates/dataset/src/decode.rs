//! Decodes one image: PNG, JPEG, WebP and BMP, recognised by content, within explicit limits.
//!
//! Palettes are expanded, 16 bits become 8, and the EXIF orientation is applied. Transparency is composited over white,
//! as in a browser. For an animation the first frame is used.

use std::io::Cursor;
use std::panic::{self, UnwindSafe};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::jpeg;
use crate::pixels::Pixels;

/// Maximum width and height in pixels.
const MAX_SIDE: u32 = 1 << 14;
/// Maximum memory for decoding one image, in bytes; a photo of 100 megapixels fits.
const MAX_ALLOC: u64 = 512 << 20;
/// Bytes of pixels that are allowed however small the file is.
const PIXELS_FREE: u64 = 16 << 20;
/// A progressive JPEG is allowed fewer: its coefficients take two bytes each while it is decoded.
const PROGRESSIVE_WORK: u64 = 2;
/// Above that, bytes of pixels for each byte of the file. A mask of a few shapes reaches 1000. A false header has no
/// bound, and some decoders fill in what the file lacks.
const PIXELS_RATIO: u64 = 4096;
/// Maximum memory for the parts of a PNG other than its pixels, such as a deflated colour profile.
const MAX_PNG_EXTRAS: u64 = 16 << 20;
const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp];

/// Whether these first bytes belong to an image that [`decode`] reads.
pub(crate) fn looks_like_image(start: &[u8]) -> bool {
    image::guess_format(start).is_ok_and(|format| FORMATS.contains(&format))
}

/// Width and height as shown (after orientation), from the header alone. The error gives the reason.
pub(crate) fn dimensions(bytes: &[u8]) -> Result<(u32, u32), String> {
    guarded(|| {
        let (width, height, orientation) = match open(bytes)? {
            Opened::Jpeg(header) => {
                (header.frame.width.into(), header.frame.height.into(), header.orientation)
            }
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
fn guarded<T>(read: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    panic::catch_unwind(read).unwrap_or_else(|_| Err("the decoder failed unexpectedly".to_owned()))
}

fn decode_unguarded(bytes: &[u8]) -> Result<Pixels, String> {
    let (mut image, orientation) = match open(bytes)? {
        Opened::Jpeg(header) => (jpeg::decode(bytes, &header)?, header.orientation),
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
    Other(Box<dyn ImageDecoder + 'a>),
}

fn open(bytes: &[u8]) -> Result<Opened<'_>, String> {
    let format = image::guess_format(bytes).map_err(|_| match bytes.len() {
        0 => "the file is empty".to_owned(),
        _ => format!("expected PNG, JPEG, WebP or BMP, found {:02x?}", &bytes[..bytes.len().min(8)]),
    })?;
    if !FORMATS.contains(&format) {
        return Err(format!("expected PNG, JPEG, WebP or BMP, found {format:?}"));
    }
    if format == ImageFormat::Jpeg {
        let header = jpeg::header(bytes)?;
        let size = (header.frame.width.into(), header.frame.height.into());
        let work = if header.frame.is_progressive() { PROGRESSIVE_WORK } else { 1 };
        check_size(bytes, size, header.frame.pixel_bytes(), work)?;
        return Ok(Opened::Jpeg(header));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // The PNG decoder applies this to everything but the pixels, which are checked below.
    limits.max_alloc = Some(if format == ImageFormat::Png { MAX_PNG_EXTRAS } else { MAX_ALLOC });
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    // Some decoders check these limits late or not at all.
    check_size(bytes, decoder.dimensions(), decoder.total_bytes(), 1)?;
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
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn rgb() -> RgbImage {
        RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]))
    }

    #[test]
    fn lossless_formats_keep_every_pixel() {
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let image = decode(&encode(rgb(), format)).unwrap();
            assert_eq!((image.height, image.width, image.channels), (3, 5, 3));
            assert_eq!(image.pixels, rgb().into_raw(), "{format:?}");
            assert_eq!(dimensions(&encode(rgb(), format)).unwrap(), (5, 3));
        }
    }

    #[test]
    fn grey_is_one_channel_in_every_encoding() {
        let grey = GrayImage::from_fn(4, 4, |x, y| Luma([(x * 60 + y) as u8]));
        let as_rgb = RgbImage::from_fn(4, 4, |x, y| Rgb([grey.get_pixel(x, y)[0]; 3]));
        let as_rgba = RgbaImage::from_fn(4, 4, |x, y| {
            let v = grey.get_pixel(x, y)[0];
            Rgba([v, v, v, 255])
        });
        let deep = ImageBuffer::from_fn(4, 4, |x, y| Luma([u16::from(grey.get_pixel(x, y)[0]) * 257]));
        let want = Pixels { height: 4, width: 4, channels: 1, pixels: grey.clone().into_raw() };
        for bytes in [
            encode(grey.clone(), ImageFormat::Png),
            encode(grey, ImageFormat::Bmp),
            encode(as_rgb, ImageFormat::WebP),
            encode(as_rgba, ImageFormat::Png),
            encode(DynamicImage::ImageLuma16(deep), ImageFormat::Png),
        ] {
            assert_eq!(decode(&bytes).unwrap(), want);
        }
    }

    #[test]
    fn jpeg_is_close_and_keeps_grey() {
        let flat = RgbImage::from_pixel(16, 16, Rgb([200, 40, 90]));
        let image = decode(&encode(flat, ImageFormat::Jpeg)).unwrap();
        assert!(image.pixels.chunks(3).all(|p| p[0].abs_diff(200) < 4 && p[1].abs_diff(40) < 4));
        let grey = encode(GrayImage::from_pixel(16, 16, Luma([77])), ImageFormat::Jpeg);
        assert_eq!(decode(&grey).unwrap().channels, 1);
    }

    #[test]
    fn transparency_becomes_white() {
        let pixels =
            RgbaImage::from_vec(3, 1, vec![10, 20, 30, 0, 10, 20, 30, 255, 0, 100, 200, 51]).unwrap();
        let image = decode(&encode(pixels, ImageFormat::Png)).unwrap();
        assert_eq!(image.pixels, [255, 255, 255, 10, 20, 30, 204, 224, 244]);
        let grey = ImageBuffer::from_fn(2, 1, |x, _| LumaA([0_u8, x as u8 * 255]));
        let image = decode(&encode(DynamicImage::ImageLumaA8(grey), ImageFormat::Png)).unwrap();
        assert_eq!((image.channels, image.pixels), (1, vec![255, 0]));
    }

    /// A BMP with a V4 header and four bytes per pixel: blue, green, red, alpha.
    fn bmp_v4(width: i32, rows: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 108];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &108_u32.to_le_bytes());
        put(4, &width.to_le_bytes());
        put(8, &1_i32.to_le_bytes());
        // One plane, 32 bits, compression 3 (bit masks).
        put(12, &[1, 0, 32, 0, 3]);
        put(40, &[0, 0, 0xff, 0, 0, 0xff, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0xff]);
        let size = 14 + header.len() + rows.len();
        let start = [&b"BM"[..], &(size as u32).to_le_bytes(), &[0; 4], &122_u32.to_le_bytes()].concat();
        [start, header, rows.to_vec()].concat()
    }

    #[test]
    fn a_bmp_with_alpha_0_everywhere_is_opaque() {
        let image = decode(&bmp_v4(2, &[30, 20, 10, 0, 3, 2, 1, 0])).unwrap();
        assert_eq!(image.pixels, [10, 20, 30, 1, 2, 3]);
        // If one pixel has alpha, it is intentional.
        let image = decode(&bmp_v4(2, &[30, 20, 10, 0, 3, 2, 1, 255])).unwrap();
        assert_eq!(image.pixels, [255, 255, 255, 1, 2, 3]);
        // An empty PNG is white.
        let empty = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 0]));
        assert_eq!(decode(&encode(empty, ImageFormat::Png)).unwrap().pixels, [255, 255]);
    }

    #[test]
    fn sixteen_bits_are_rounded_to_eight() {
        let deep = ImageBuffer::from_fn(2, 1, |x, _| Rgb([x as u16 * 65535, 32768, 257 * 9]));
        let image = decode(&encode(DynamicImage::ImageRgb16(deep), ImageFormat::Png)).unwrap();
        assert_eq!(image.pixels, [0, 128, 9, 255, 128, 9]);
    }

    /// A PNG chunk: length, kind, data, CRC-32 of kind and data.
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
    }

    fn png(width: u32, height: u32, depth_and_color: [u8; 2], more: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(rows).unwrap();
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &depth_and_color, &[0, 0, 0]].concat();
        let mut bytes = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat();
        more.iter().for_each(|extra| bytes.extend(extra));
        bytes.extend(chunk(b"IDAT", &encoder.finish().unwrap()));
        bytes.extend(chunk(b"IEND", &[]));
        bytes
    }

    #[test]
    fn palettes_are_expanded_with_their_transparency() {
        let palette = chunk(b"PLTE", &[255, 0, 0, 0, 0, 255]);
        let transparent = chunk(b"tRNS", &[255, 0]);
        let rows = [0, 0, 1, 0, 1, 0];
        let image = decode(&png(2, 2, [8, 3], std::slice::from_ref(&palette), &rows)).unwrap();
        assert_eq!(image.pixels, [255, 0, 0, 0, 0, 255, 0, 0, 255, 255, 0, 0]);
        let image = decode(&png(2, 2, [8, 3], &[palette, transparent], &rows)).unwrap();
        assert_eq!(image.pixels, [255, 0, 0, 255, 255, 255, 255, 255, 255, 255, 0, 0]);
    }

    #[test]
    fn single_bits_become_black_and_white() {
        let image = decode(&png(3, 1, [1, 0], &[], &[0, 0b1010_0000])).unwrap();
        assert_eq!((image.channels, image.pixels), (1, vec![255, 0, 255]));
    }

    #[test]
    fn exif_orientation_rotates_the_image() {
        // Little-endian TIFF header, one entry: tag 0x0112 (orientation), SHORT, one value: 6.
        let exif =
            [b"II*\0\x08\0\0\0\x01\0".as_slice(), &[0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0], &[0; 4]].concat();
        let bytes = png(2, 1, [8, 0], &[chunk(b"eXIf", &exif)], &[0, 10, 200]);
        let image = decode(&bytes).unwrap();
        assert_eq!((image.height, image.width, image.pixels), (2, 1, vec![10, 200]));
        assert_eq!(dimensions(&bytes).unwrap(), (1, 2));
    }

    #[test]
    fn bombs_and_broken_files_are_refused() {
        let good = encode(rgb(), ImageFormat::Png);
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "empty"),
            (b"hello, world".to_vec(), "expected PNG, JPEG, WebP or BMP, found [68, 65"),
            (b"GIF89a\x01\0\x01\0".to_vec(), "found Gif"),
            (good[..good.len() / 2].to_vec(), ""),
            (encode(rgb(), ImageFormat::Jpeg)[..40].to_vec(), ""),
            (encode(rgb(), ImageFormat::WebP)[..30].to_vec(), ""),
            (encode(rgb(), ImageFormat::Bmp)[..60].to_vec(), ""),
            (png(50_000, 50_000, [8, 2], &[], &[0; 100]), ""),
            (png(16_384, 16_384, [16, 6], &[], &[0; 100]), "within 512 MiB"),
            (
                png(3000, 2000, [8, 2], &[], &[0; 100]),
                "expected at most 16777216 bytes of pixels in a file of",
            ),
            (png(0, 5, [8, 0], &[], &[0; 10]), ""),
        ];
        for (index, (bytes, text)) in cases.into_iter().enumerate() {
            let error = decode(&bytes).unwrap_err();
            assert!(error.contains(text), "case {index}: {error:?} lacks {text:?}");
        }
    }

    #[test]
    fn a_jpeg_with_a_false_size_is_refused() {
        let mut bytes = encode(rgb(), ImageFormat::Jpeg);
        let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        // Height and width; the decoder would fill the rest with grey.
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x2a, 0x94, 0x40, 0]);
        assert!(decode(&bytes).unwrap_err().ends_with("found 16384x10900"), "{:?}", decode(&bytes));
        // Flat images are small files, and are accepted.
        let flat = encode(GrayImage::from_pixel(4096, 4000, Luma([9])), ImageFormat::Png);
        assert_eq!(decode(&flat).unwrap().width, 4096);
    }

    /// Sampling factors that T.81 does not allow.
    #[test]
    fn a_jpeg_with_invalid_sampling_is_refused() {
        let mut bytes = encode(rgb(), ImageFormat::Jpeg);
        let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        bytes[frame + 17] = 0x53;
        assert!(decode(&bytes).unwrap_err().ends_with("found 5x3"), "{:?}", decode(&bytes));
        assert!(dimensions(&bytes).is_err());
    }

    #[test]
    fn a_panic_is_an_error() {
        let lost = guarded(|| -> Result<(), String> { panic!("on purpose") });
        assert_eq!(lost, Err("the decoder failed unexpectedly".to_owned()));
        assert_eq!(guarded(|| Ok(1)), Ok(1));
    }

    proptest! {
        /// Any truncation and any changed bytes give an image or an error, never a panic.
        #[test]
        fn damage_never_panics(kind in 0_usize..5, at: prop::sample::Index, bytes: [u8; 2], cut: prop::sample::Index) {
            let format = FORMATS[kind % 4];
            // The fifth kind is a lossless WebP with transparency.
            let good = if kind == 4 {
                encode(RgbaImage::from_fn(9, 7, |x, y| Rgba([x as u8 * 9, y as u8, 3, x as u8 * 20])), ImageFormat::WebP)
            } else {
                encode(rgb(), format)
            };
            let mut bad = good.clone();
            let at = at.index(bad.len() - 1);
            bad[at..at + 2].copy_from_slice(&bytes);
            let _ = decode(&bad);
            let _ = dimensions(&bad);
            let _ = decode(&good[..cut.index(good.len())]);
        }
    }
}
