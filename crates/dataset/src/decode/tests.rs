//! Images of every format, sound and broken.

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
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff] {
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
        encode(as_rgba.clone(), ImageFormat::Png),
        encode(as_rgba, ImageFormat::Tiff),
        encode(DynamicImage::ImageLuma16(deep.clone()), ImageFormat::Png),
        encode(DynamicImage::ImageLuma16(deep), ImageFormat::Tiff),
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
    let pixels = RgbaImage::from_vec(3, 1, vec![10, 20, 30, 0, 10, 20, 30, 255, 0, 100, 200, 51]).unwrap();
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
        (b"hello, world".to_vec(), "expected PNG, JPEG, WebP, BMP, GIF or TIFF, found [68, 65"),
        (b"qoif\0\0\0\x01".to_vec(), "found Qoi"),
        (b"GIF89a\x01\0\x01\0".to_vec(), ""),
        (b"GIF89a\x01".to_vec(), "10 bytes of a GIF header, found 7"),
        (b"GIF89a\xff\xff\xff\xff\0\0\0;".to_vec(), "found 65535x65535"),
        (b"GIF89a\0\x10\0\x10\0\0\0;".to_vec(), "found 4096x4096"),
        (b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(), "found HEIC; convert it to JPEG or PNG"),
        (b"\0\0\0\x20ftypavif\0\0\0\0".to_vec(), "found AVIF; convert it to JPEG or PNG"),
        (encode(rgb(), ImageFormat::Tiff)[..40].to_vec(), ""),
        (with_side(encode(rgb(), ImageFormat::Tiff), 4096), "bytes of pixels in a file of"),
        (good[..good.len() / 2].to_vec(), ""),
        (encode(rgb(), ImageFormat::Jpeg)[..40].to_vec(), ""),
        (encode(rgb(), ImageFormat::WebP)[..30].to_vec(), ""),
        (encode(rgb(), ImageFormat::Bmp)[..60].to_vec(), ""),
        (png(50_000, 50_000, [8, 2], &[], &[0; 100]), ""),
        (png(16_384, 16_384, [16, 6], &[], &[0; 100]), "within 512 MiB"),
        (png(3000, 2000, [8, 2], &[], &[0; 100]), "expected at most 16777216 bytes of pixels in a file of"),
        (png(0, 5, [8, 0], &[], &[0; 10]), ""),
    ];
    for (index, (bytes, text)) in cases.into_iter().enumerate() {
        let error = decode(&bytes).unwrap_err();
        assert!(error.contains(text), "case {index}: {error:?} lacks {text:?}");
    }
}

/// Sets the width and the height in the directory of a little-endian TIFF file, fields 256 and 257.
fn with_side(mut tiff: Vec<u8>, side: u32) -> Vec<u8> {
    let start = u32::from_le_bytes([tiff[4], tiff[5], tiff[6], tiff[7]]) as usize;
    let fields = usize::from(tiff[start]);
    for at in (0..fields).map(|place| start + 2 + 12 * place) {
        // All rows are in one strip, field 278.
        if matches!(tiff[at..at + 2], [0 | 1 | 0x16, 1]) {
            // The type LONG.
            tiff[at + 2] = 4;
            tiff[at + 8..at + 12].copy_from_slice(&side.to_le_bytes());
        }
    }
    tiff
}

#[test]
fn the_first_of_several_frames_is_used() {
    let frame = |value: u8| gif::Frame::from_indexed_pixels(2, 2, vec![value; 4], None);
    let two = gif_frame::tests::gif((2, 2), &[frame(1), frame(2)]);
    let image = decode(&two).unwrap();
    assert_eq!((image.channels, &image.pixels[..3]), (3, &[255, 0, 0][..]));
    assert_eq!(dimensions(&two).unwrap(), (2, 2));
    assert!(has_more_frames(&two));
    assert!(!has_more_frames(&gif_frame::tests::gif((2, 2), &[frame(1)])));
    assert!(!has_more_frames(&encode(rgb(), ImageFormat::Tiff)));
    assert!(!has_more_frames(b"GIF89a") && !has_more_frames(b"II*\0"));
    // What a frame leaves free is as white as the page.
    let corner = gif::Frame { left: 1, ..gif::Frame::from_indexed_pixels(1, 1, vec![0], None) };
    let image = decode(&gif_frame::tests::gif((2, 1), &[corner])).unwrap();
    assert_eq!((image.channels, image.pixels), (1, vec![255, 0]));
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
    fn damage_never_panics(kind in 0_usize..7, at: prop::sample::Index, bytes: [u8; 2], cut: prop::sample::Index) {
        let good = match FORMATS.get(kind) {
            Some(ImageFormat::Gif) => {
                let frame = gif::Frame::from_indexed_pixels(5, 3, vec![1; 15], Some(0));
                gif_frame::tests::gif((5, 3), &[frame])
            }
            Some(format) => encode(rgb(), *format),
            // A lossless WebP with transparency.
            None => {
                let pixel = |x: u32, y: u32| Rgba([x as u8 * 9, y as u8, 3, x as u8 * 20]);
                encode(RgbaImage::from_fn(9, 7, pixel), ImageFormat::WebP)
            }
        };
        let mut bad = good.clone();
        let at = at.index(bad.len() - 1);
        bad[at..at + 2].copy_from_slice(&bytes);
        let _ = decode(&bad);
        let _ = dimensions(&bad);
        let _ = decode(&good[..cut.index(good.len())]);
    }
}
