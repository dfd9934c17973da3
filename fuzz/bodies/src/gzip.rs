//! Gzip and its checksum. Fuzzing uses no compression (RFC 1952, RFC 1951 section 3.2.4): a fuzzer cannot guess a
//! checksum, and compressing would cost more than the parser under test.

use std::io::{self, Read};

use flate2::{Compression, Crc, CrcReader};

/// Longest stored block, in bytes.
const BLOCK: usize = 0xffff;

/// A gzip member that stores `data` uncompressed.
pub(crate) fn stored(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = data.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        bytes.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        bytes.push(u8::from(blocks.peek().is_none()));
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
    }
    bytes.extend(crc(data).to_le_bytes());
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes
}

/// A gzip member with the best compression.
pub(crate) fn compressed(data: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzEncoder::new(data, Compression::best()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A deflate stream, and the length and checksum of its content.
pub(crate) fn deflated(data: impl Read) -> io::Result<(Vec<u8>, u32, u32)> {
    let mut data = CrcReader::new(data);
    let mut bytes = Vec::new();
    flate2::read::DeflateEncoder::new(&mut data, Compression::best()).read_to_end(&mut bytes)?;
    Ok((bytes, data.crc().amount(), data.crc().sum()))
}

/// The CRC-32 of gzip, zip and PNG.
pub(crate) fn crc(data: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum()
}
