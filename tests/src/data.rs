//! Images and image files, each in the form its format prescribes.

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use image::{ImageBuffer, ImageFormat, Luma, Rgb};
use ndarray::Array3;

/// Grey image `n` of a set: a bright square whose position and size depend on `n`.
#[must_use]
pub fn square(n: usize, size: usize) -> Array3<u8> {
    let (top, left, side) = (n % 5 + 1, n * 3 % 7 + 1, size / 3 + n % 3);
    Array3::from_shape_fn((size, size, 1), |(y, x, _)| {
        let inside = (top..top + side).contains(&y) && (left..left + side).contains(&x);
        if inside { 220 } else { (n * 7 % 30) as u8 }
    })
}

/// A grey image file.
///
/// # Errors
/// When it cannot be encoded.
pub fn grey_file(n: usize, (width, height): (u32, u32), format: ImageFormat) -> anyhow::Result<Vec<u8>> {
    let pixel = |x: u32, y: u32| Luma([(x * 9 + y * 5 + n as u32 * 31) as u8]);
    let mut file = Cursor::new(Vec::new());
    ImageBuffer::from_fn(width, height, pixel).write_to(&mut file, format)?;
    Ok(file.into_inner())
}

/// An RGB image file.
///
/// # Errors
/// When it cannot be encoded.
pub fn colour_file(n: usize, (width, height): (u32, u32), format: ImageFormat) -> anyhow::Result<Vec<u8>> {
    let pixel = |x: u32, y: u32| Rgb([(x * 9) as u8, (y * 5) as u8, (n * 40) as u8]);
    let mut file = Cursor::new(Vec::new());
    ImageBuffer::from_fn(width, height, pixel).write_to(&mut file, format)?;
    Ok(file.into_inner())
}

/// A GIF of two colours with two frames; in the first the left half is black.
///
/// # Errors
/// When it cannot be encoded.
pub fn moving_gif((width, height): (u16, u16)) -> anyhow::Result<Vec<u8>> {
    let mut encoder = gif::Encoder::new(Vec::new(), width, height, &[0, 0, 0, 255, 255, 255])?;
    let row = |left: u8| (0..width).map(move |x| if x < width / 2 { left } else { 1 - left });
    for left in [0, 1] {
        let indices: Vec<u8> = (0..height).flat_map(|_| row(left)).collect();
        encoder.write_frame(&gif::Frame::from_indexed_pixels(width, height, indices, None))?;
    }
    Ok(encoder.into_inner()?)
}

/// An IDX file of grey images: magic, three big-endian sizes, pixels.
#[must_use]
pub fn idx_images(count: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for number in [count, size, size] {
        bytes.extend((number as u32).to_be_bytes());
    }
    bytes.extend((0..count).flat_map(|n| square(n, size)));
    bytes
}

/// An IDX file of cycling labels 0 to 9.
#[must_use]
pub fn idx_labels(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((count as u32).to_be_bytes());
    bytes.extend((0..count).map(|n| (n % 10) as u8));
    bytes
}

/// A CIFAR-10 batch: for each image a label and three planes of 32x32 pixels.
#[must_use]
pub fn cifar10(count: usize) -> Vec<u8> {
    let record = |n: usize| {
        let planes = (0..3 * 32 * 32).map(move |i| ((i / 7 + n * 13) % 256) as u8);
        std::iter::once((n % 10) as u8).chain(planes)
    };
    (0..count).flat_map(record).collect()
}

/// A tar archive of these files in one folder: a header of 512 bytes and whole blocks for each, and two empty blocks.
#[must_use]
pub fn tar(folder: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = tar_header(&format!("{folder}/"), 0, b'5');
    for (name, data) in files {
        bytes.extend(tar_header(&format!("{folder}/{name}"), data.len(), b'0'));
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Name, size, checksum, kind and magic. The checksum counts its own bytes as spaces.
fn tar_header(name: &str, size: usize, kind: u8) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..262].copy_from_slice(b"ustar");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// Gzips the bytes.
///
/// # Errors
/// When they cannot be compressed.
pub fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
