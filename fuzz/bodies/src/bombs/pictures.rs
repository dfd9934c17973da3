//! Images: PNG, JPEG, WebP, BMP, GIF and TIFF.

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use dataset::Fit;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::{Bomb, open_data};
use crate::png::{chunk, png, zlib};
use crate::tiff::{Field, LONG, SHORT, grey, tiff};

/// Unpacked size of a bomb.
const LARGE: u64 = 256 << 20;

pub(super) const BOMBS: &[Bomb] = &[
    bomb("png-50000x50000", |path| fs::write(path, png((50_000, 50_000), [8, 2], &[], &few_rows()))),
    bomb("png-16384x10900-of-few-rows", |path| {
        fs::write(path, png((16_384, 10_900), [8, 2], &[], &few_rows()))
    }),
    bomb("png-2x2-of-many-rows-and-no-filter", |path| {
        let rows = io::repeat(0xff).take(LARGE);
        fs::write(path, png((2, 2), [8, 0], &[], &zlib(rows)))
    }),
    bomb("png-ztxt", |path| plant_png_with(path, b"zTXt", b"Comment\0\0")),
    bomb("png-itxt", |path| plant_png_with(path, b"iTXt", b"Comment\0\x01\0\0\0")),
    bomb("png-iccp", |path| plant_png_with(path, b"iCCP", b"profile\0\0")),
    bomb("jpeg-65535x65535", |path| plant_jpeg(path, (65_535, 65_535), false)),
    bomb("jpeg-16384x10900-of-few-blocks", |path| plant_jpeg(path, (16_384, 10_900), false)),
    bomb("jpeg-16384x10900-progressive", |path| plant_jpeg(path, (16_384, 10_900), true)),
    // Below the limit of small files: the most that one may cost.
    granted("jpeg-2300x2400-progressive", |path| plant_jpeg(&beside_a_broken_one(path)?, (2300, 2400), true)),
    granted("webp-2300x2400-of-one-colour", |path| plant_webp(&beside_a_broken_one(path)?, 2300, 2400)),
    bomb("webp-16384x16384", |path| plant_webp(path, 16_384, 16_384)),
    bomb("webp-11000x11000-of-one-colour", |path| plant_webp(path, 11_000, 11_000)),
    bomb("bmp-2^31-columns", |path| plant_bmp(path, i32::MAX, 1)),
    bomb("bmp-50000x50000", |path| plant_bmp(path, 50_000, -50_000)),
    bomb("bmp-16384x10900-of-few-rows", |path| plant_bmp(path, 16_384, 10_900)),
    bomb("gif-65535x65535", |path| plant_gif(path, u16::MAX, 1)),
    bomb("gif-frame-of-65535x65535", |path| plant_gif(path, 1, u16::MAX)),
    bomb("gif-16384x16384", |path| plant_gif(path, 1 << 14, 1 << 14)),
    bomb("tiff-50000x50000", |path| plant_tiff(path, (50_000, 50_000), None)),
    bomb("tiff-16384x10900-of-few-rows", |path| plant_tiff(path, (16_384, 10_900), None)),
    bomb("tiff-2^32-strips", |path| plant_tiff(path, (2, 2), Some((273, LONG, u32::MAX, 8)))),
    bomb("tiff-2^24-depths", |path| plant_tiff(path, (2, 2), Some((258, SHORT, 1 << 24, 8)))),
    // A tile as wide as this takes half a gigabyte.
    bomb("tiff-tile-of-2^29-columns", |path| plant_tiff(path, (2, 2), Some((322, LONG, 1, 1 << 29)))),
    // JPEG has a size of its own.
    bomb("tiff-of-jpeg", |path| plant_tiff(path, (2, 2), Some((259, SHORT, 1, 7)))),
];

const fn bomb(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: read }
}

/// A folder of valid images with one invalid image.
const fn granted(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: open_data }
}

fn read(path: &Path) -> Result<(), String> {
    dataset::read_image(path, None, None, Fit::Crop).map(drop).map_err(|e| e.to_string())
}

/// Makes a folder with an empty image, and names another image in it.
fn beside_a_broken_one(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir(folder)?;
    fs::write(folder.join("b.png"), [])?;
    Ok(folder.join("a"))
}

fn few_rows() -> Vec<u8> {
    zlib(&[0; 1000][..])
}

/// An image without its pixel, with a chunk that unpacks far beyond any need.
fn plant_png_with(path: &Path, kind: &[u8; 4], start: &[u8]) -> io::Result<()> {
    let text = [start, &zlib(io::repeat(b'a').take(LARGE))].concat();
    fs::write(path, png((1, 1), [8, 0], &[chunk(kind, &text)], &[]))
}

fn of_one_colour(format: ImageFormat) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::from(RgbImage::from_pixel(16, 16, Rgb([200, 200, 200])));
    image.write_to(&mut bytes, format).map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

/// A small JPEG whose frame header claims another size and many passes of coefficients.
fn plant_jpeg(path: &Path, (width, height): (u16, u16), progressive: bool) -> io::Result<()> {
    let mut bytes = of_one_colour(ImageFormat::Jpeg)?;
    // Frame header, ITU-T T.81 B.2.2: marker, length, precision, height, width.
    let frame = find(&bytes, &[0xff, 0xc0])?;
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    if progressive {
        bytes[frame + 1] = 0xc2;
        // Scan header, B.2.3: marker, length, components, two bytes for each, first and last coefficient.
        let scan = find(&bytes, &[0xff, 0xda])?;
        let last = scan + 5 + 2 * usize::from(bytes[scan + 4]) + 1;
        bytes[last] = 0;
    }
    fs::write(path, bytes)
}

/// A lossless WebP of one colour (RFC 9649 sections 3.4 and 3.7.2.1). Codes with one symbol take no bits, so its 20
/// bytes of data are a whole image of any size.
fn plant_webp(path: &Path, width: u32, height: u32) -> io::Result<()> {
    let mut bits = Bits { bytes: vec![0x2f], free: 0 };
    bits.push(width - 1, 14);
    bits.push(height - 1, 14);
    // No alpha, version 0; no transform, no colour cache, one group of codes.
    bits.push(0, 4 + 3);
    for _ in 0..5 {
        // A simple code with one symbol of one bit: 0.
        bits.push(0b0001, 4);
    }
    let mut data = bits.bytes;
    data.resize(20, 0);
    let chunk = [b"VP8L", &(data.len() as u32).to_le_bytes()[..], &data].concat();
    let length = (4 + chunk.len() as u32).to_le_bytes();
    fs::write(path, [b"RIFF", &length[..], b"WEBP", &chunk].concat())
}

/// A bit writer that fills each byte from the lowest bit.
struct Bits {
    bytes: Vec<u8>,
    /// Unused bits of the last byte.
    free: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for place in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> place & 1) as u8) << (8 - self.free);
            }
            self.free -= 1;
        }
    }
}

fn plant_bmp(path: &Path, width: i32, height: i32) -> io::Result<()> {
    let mut bytes = of_one_colour(ImageFormat::Bmp)?;
    bytes[18..22].copy_from_slice(&width.to_le_bytes());
    bytes[22..26].copy_from_slice(&height.to_le_bytes());
    fs::write(path, bytes)
}

/// A GIF with a square canvas and a square frame, of which there are only the first pixels.
fn plant_gif(path: &Path, canvas: u16, frame: u16) -> io::Result<()> {
    let (canvas, frame) = (canvas.to_le_bytes(), frame.to_le_bytes());
    let head = [b"GIF89a", &canvas[..], &canvas, b"\x80\0\0\0\0\0\xff\xff\xff"].concat();
    let image = [b",\0\0\0\0", &frame[..], &frame, b"\0\x02\x02\x0c\x0a\0;"].concat();
    fs::write(path, [head, image].concat())
}

/// A TIFF file of a few rows, with a field added or replaced.
fn plant_tiff(path: &Path, size: (u32, u32), field: Option<Field>) -> io::Result<()> {
    let mut fields = grey(size).to_vec();
    if let Some(field) = field {
        fields.retain(|(tag, ..)| *tag != field.0);
        fields.push(field);
        fields.sort_by_key(|(tag, ..)| *tag);
    }
    fs::write(path, tiff(&fields, &[0; 1000]))
}

fn find(bytes: &[u8], what: &[u8]) -> io::Result<usize> {
    let at = bytes.windows(what.len()).position(|window| window == what);
    at.ok_or_else(|| io::Error::other(format!("the encoder wrote no {what:02x?}")))
}
