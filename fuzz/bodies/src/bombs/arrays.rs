//! Arrays: IDX, CIFAR, npy and npz.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::{Bomb, open_data};
use crate::archive::{Claims, of_one};
use crate::gzip;

const MIB: u64 = 1 << 20;
/// Unpacked size of a bomb.
const LARGE: u64 = 512 * MIB;

pub(super) const BOMBS: &[Bomb] = &[
    bomb("idx-claims-2^32-items", |path| plant_idx(path, &[u32::MAX])),
    bomb("idx-claims-2^128-items", |path| plant_idx(path, &[u32::MAX; 4])),
    bomb("idx-gz-claims-all-it-holds", |path| plant_gz(path, &[16 * 32, 1024, 1024], LARGE)),
    bomb("idx-gz-claims-little", |path| plant_gz(path, &[4, 2, 2], LARGE)),
    // Below every limit, and one byte short: the most expensive refusal.
    bomb("idx-gz-claims-what-is-granted", |path| plant_gz(path, &[16, 1024, 1024], 16 * MIB - 1)),
    bomb("tar-gz-of-a-batch-of-512-mib", |path| plant_tar_gz(path, "data_batch_1.bin")),
    bomb("tar-gz-of-another-file-of-512-mib", |path| plant_tar_gz(path, "readme.html")),
    bomb("npy-header-of-4-gib", |path| fs::write(path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'")),
    bomb("npy-claims-4-gib", |path| fs::write(path, npy("<f4", "(1024, 1024, 1024)"))),
    bomb("npy-claims-2^66-bytes", |path| fs::write(path, npy("<f4", "(4294967296, 4294967296)"))),
    bomb("npy-brackets", |path| {
        let header = format!("{{'descr': {}", "[".repeat(60_000));
        fs::write(path, with_header(&header))
    }),
    bomb("npz-claims-all-it-holds", |path| plant_npz(path, "|u1", 512, LARGE, |claims| claims)),
    bomb("npz-claims-little", |path| {
        plant_npz(path, "|u1", 1, LARGE, |claims| Claims { size: 128 + MIB as u32, ..claims })
    }),
    // Eight times larger in memory than in the archive.
    bomb("npz-narrow-integers", |path| plant_npz(path, "|i1", 15, 15 * MIB, |claims| claims)),
    // Within the limits, and refused after reading: by checksum, by values, and for not being images.
    bomb("npz-wrong-checksum", |path| {
        plant_npz(path, "|u1", 15, 15 * MIB, |claims| Claims { crc: claims.crc ^ 1, ..claims })
    }),
    bomb("npz-floats-out-of-range", |path| plant_npz(path, "<f4", 3, 12 * MIB, |claims| claims)),
    bomb("npz-integers-out-of-range", |path| plant_npz(path, ">u4", 1, 4 * MIB, |claims| claims)),
    bomb("zip-of-an-image-that-unpacks-to-512-mib", plant_image_zip),
    bomb("npz-directory-of-2^64", |path| fs::write(path, zip_end(true))),
    bomb("npz-directory-of-65535", |path| fs::write(path, zip_end(false))),
];

const fn bomb(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: open_data }
}

fn idx_header(extents: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, extents.len() as u8];
    bytes.extend(extents.iter().flat_map(|n| n.to_be_bytes()));
    bytes
}

fn plant_idx(path: &Path, extents: &[u32]) -> io::Result<()> {
    fs::write(path, [idx_header(extents), vec![0; 100]].concat())
}

fn plant_gz(path: &Path, extents: &[u32], data: u64) -> io::Result<()> {
    fs::write(path, gzip::compressed(idx_header(extents).chain(io::repeat(0).take(data)))?)
}

/// The download of CIFAR-10 with a single file.
fn plant_tar_gz(path: &Path, name: &str) -> io::Result<()> {
    let folder = tar_header("cifar-10-batches-bin/", 0, b'5');
    let file = tar_header(&format!("cifar-10-batches-bin/{name}"), LARGE, b'0');
    let whole = folder.as_slice().chain(file.as_slice()).chain(io::repeat(0).take(LARGE + 1024));
    fs::write(path, gzip::compressed(whole)?)
}

/// A header of POSIX.1-1988 ustar: name, size, checksum, kind, magic.
fn tar_header(name: &str, size: u64, kind: u8) -> Vec<u8> {
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

fn npy(descr: &str, shape: &str) -> Vec<u8> {
    with_header(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"))
}

fn with_header(header: &str) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

/// `images` is the number of 1024x1024 images the header claims, `data` the actual number of bytes.
fn plant_npz(
    path: &Path,
    descr: &str,
    images: u64,
    data: u64,
    change: fn(Claims) -> Claims,
) -> io::Result<()> {
    let header = npy(descr, &format!("({images}, 1024, 1024)"));
    // Read as floats or integers, the last elements are not pixels.
    let zeros = io::repeat(0).take(data - 8);
    let (stream, size, crc) = gzip::deflated(header.chain(zeros).chain(&[0x7f; 8][..]))?;
    let claims = Claims { method: 8, flags: 0, compressed: stream.len() as u32, size, crc };
    fs::write(path, of_one("images.npy", &stream, change(claims)))
}

/// An archive with one image of zeros.
fn plant_image_zip(path: &Path) -> io::Result<()> {
    let (stream, size, crc) = gzip::deflated(io::repeat(0).take(LARGE))?;
    let claims = Claims { method: 8, flags: 0, compressed: stream.len() as u32, size, crc };
    fs::write(path, of_one("a.png", &stream, claims))
}

/// The end of a directory that claims the maximum number of entries.
fn zip_end(zip64: bool) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04".to_vec();
    if zip64 {
        // The record, then the locator.
        bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
        bytes.extend([0xff; 16]);
        bytes.extend([0; 16]);
        bytes.extend(b"PK\x06\x07\0\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0");
    }
    bytes.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\0\0\0\0\x04\0\0\0\0\0");
    bytes
}
