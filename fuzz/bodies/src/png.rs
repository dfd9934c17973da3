//! Hand-made PNG files, which no encoder writes.

use std::io::Read;

use flate2::Compression;

use crate::gzip::crc;

/// A file of a size (width first), with bits per sample and colour type. `more` goes before the rows, which are already
/// deflated.
pub(crate) fn png((width, height): (u32, u32), kind: [u8; 2], more: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &kind, &[0, 0, 0]].concat();
    let mut bytes = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat();
    more.iter().for_each(|extra| bytes.extend(extra));
    bytes.extend(chunk(b"IDAT", rows));
    bytes.extend(chunk(b"IEND", &[]));
    bytes
}

/// A chunk: length, kind, data, CRC-32 of kind and data.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// Deflated data in PNG's format.
pub(crate) fn zlib(data: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(data, Compression::best());
    encoder.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
}
