//! Gzip without compression (RFC 1952, RFC 1951 section 3.2.4): a fuzzer cannot guess a checksum, and compressing
//! would cost more than what is fuzzed.

use flate2::Crc;

/// Longest stored block, in bytes.
const BLOCK: usize = 0xffff;

/// A gzip member that holds `data` as it is.
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

/// CRC-32 of gzip, zip and PNG.
pub(crate) fn crc(data: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum()
}
