//! A zip archive with one stored entry (PKWARE APPNOTE 4.3) and every field free, because a fuzzer cannot guess a
//! checksum.

use crate::gzip::crc;

/// The values in the headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims {
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) compressed: u32,
    pub(crate) size: u32,
    pub(crate) crc: u32,
}

impl Claims {
    /// The true values for a stored entry.
    pub(crate) fn honest(data: &[u8]) -> Self {
        let length = data.len() as u32;
        Self { method: 0, flags: 0, compressed: length, size: length, crc: crc(data) }
    }

    /// Values that seven fuzzer bytes give an entry: method, flags, two bytes of the packed size, three of the size.
    pub(crate) fn made_up([method, flags, a, b, c, d, e]: [u8; 7], data: &[u8]) -> Self {
        Self {
            method: u16::from(method),
            flags: u16::from(flags),
            compressed: u32::from_le_bytes([a, b, 0, 0]),
            size: u32::from_le_bytes([c, d, e, 0]),
            ..Self::honest(data)
        }
    }
}

/// Builds the archive.
pub(crate) fn of_one(name: &str, data: &[u8], claims: Claims) -> Vec<u8> {
    let common = |out: &mut Vec<u8>| {
        for field in [20, claims.flags, claims.method, 0, 0x21] {
            out.extend(field.to_le_bytes());
        }
        for field in [claims.crc, claims.compressed, claims.size] {
            out.extend(field.to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
    };
    let mut bytes = b"PK\x03\x04".to_vec();
    common(&mut bytes);
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend(data);
    let directory = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\x14\x00");
    common(&mut bytes);
    // No extra field, no comment, first disk, no attributes, at the start.
    bytes.extend([0; 16]);
    bytes.extend(name.as_bytes());
    let length = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    bytes.extend(length.to_le_bytes());
    bytes.extend(directory.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
