//! Checks the first directory of a TIFF file (TIFF 6.0, section 2) before the decoder reads it.
//!
//! The decoder reserves memory for the number of values that a field claims, so each claim is compared with the file
//! first. Raw photos are TIFF files too. Their first image is a thumbnail, which nobody wants to train on.

use crate::decode::MAX_SIDE;

const NEW_SUBFILE_TYPE: u16 = 254;
const COMPRESSION: u16 = 259;
const TILE_SIDES: [u16; 2] = [322, 323];
/// Fields that the decoder reads, with one value, or one for each channel.
const NUMBERS: [u16; 15] =
    [NEW_SUBFILE_TYPE, 256, 257, 258, COMPRESSION, 262, 274, 277, 278, 284, 317, 322, 323, 338, 339];
const MAX_NUMBERS: u64 = 16;
/// Offsets and lengths of the strips or tiles.
const TABLES: [u16; 4] = [273, 279, 324, 325];
/// The decoder takes 32 bytes for each value of a table.
const MAX_TABLE: u64 = 1 << 18;
/// None, CCITT group 4, LZW, Deflate (two numbers), PackBits. JPEG in TIFF has a size of its own, which may be false.
const COMPRESSIONS: [u64; 6] = [1, 4, 5, 8, 32_946, 32_773];

/// Whether the decoder may read the file. The error gives the reason.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let Some((fields, _)) = directory(bytes) else {
        return Err("expected a TIFF directory, found the end of the file".to_owned());
    };
    fields.iter().try_for_each(|field| field.check(bytes))
}

/// Whether another page follows the first.
pub(crate) fn has_more_pages(bytes: &[u8]) -> bool {
    directory(bytes).is_some_and(|(_, next)| next != 0)
}

/// One field of a directory.
#[derive(Debug, Clone, Copy)]
struct Field {
    tag: u16,
    /// Bytes of one value; 0 for a type that the decoder skips.
    size: u64,
    /// How many values it claims.
    count: u64,
    /// Where the values are: in the directory if they take at most 4 bytes.
    at: u64,
}

impl Field {
    fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let Self { tag, size, count, at } = *self;
        let most = match tag {
            _ if size == 0 => return Ok(()),
            _ if NUMBERS.contains(&tag) => MAX_NUMBERS,
            _ if TABLES.contains(&tag) => MAX_TABLE,
            _ => return Ok(()),
        };
        // Neither factor has more than 32 bits.
        if count > most || at + count * size > bytes.len() as u64 {
            let length = bytes.len();
            return Err(format!(
                "expected at most {most} values of TIFF field {tag} within {length} bytes, found {count} at byte {at}"
            ));
        }
        match (tag, number(bytes, at, size)) {
            (NEW_SUBFILE_TYPE, Some(kind)) if kind & 1 == 1 => Err(
                "expected an image, found the thumbnail of one, as in raw photos; convert the photo to JPEG or PNG"
                    .to_owned(),
            ),
            (COMPRESSION, Some(kind)) if !COMPRESSIONS.contains(&kind) => Err(format!(
                "expected TIFF without compression, or with LZW, Deflate, PackBits or CCITT group 4, found {}; save the \
                 image as PNG",
                compression(kind)
            )),
            (tag, Some(side)) if TILE_SIDES.contains(&tag) && side > u64::from(MAX_SIDE) => {
                Err(format!("expected tiles of at most {MAX_SIDE}x{MAX_SIDE} pixels, found a side of {side}"))
            }
            _ => Ok(()),
        }
    }
}

/// The name of a compression that is not read.
fn compression(kind: u64) -> String {
    let name = match kind {
        2 | 3 => "older CCITT",
        6 | 7 => "JPEG",
        34_712 => "JPEG 2000",
        50_000 => "Zstandard",
        50_001 => "WebP",
        _ => "unknown",
    };
    format!("compression {kind} ({name})")
}

/// The fields of the first directory, and the offset of the next one or 0. `None` if the file ends before.
fn directory(bytes: &[u8]) -> Option<(Vec<Field>, u64)> {
    let start = number(bytes, 4, 4)?;
    let count = number(bytes, start, 2)?;
    let mut fields = Vec::new();
    for at in (0..count).map(|place| start + 2 + 12 * place) {
        let kind = number(bytes, at + 2, 2)?;
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 0,
        };
        let count = number(bytes, at + 4, 4)?;
        let place = if count * size <= 4 { at + 8 } else { number(bytes, at + 8, 4)? };
        let tag = u16::try_from(number(bytes, at, 2)?).ok()?;
        fields.push(Field { tag, size, count, at: place });
    }
    Some((fields, number(bytes, start + 2 + 12 * count, 4)?))
}

/// The number of `size` bytes, 1 to 8, at `at`, in the byte order of the file.
fn number(bytes: &[u8], at: u64, size: u64) -> Option<u64> {
    let (start, size) = (usize::try_from(at).ok()?, usize::try_from(size).ok()?);
    let found = bytes.get(start..start.checked_add(size)?)?;
    let append = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
    let little = bytes.starts_with(b"II");
    Some(if little { found.iter().rev().fold(0, append) } else { found.iter().fold(0, append) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little-endian TIFF file of one directory: tag, type, count and value of each field.
    fn tiff(fields: &[(u16, u16, u32, u32)], next: u32) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((fields.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in fields {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(next.to_le_bytes());
        bytes
    }

    const SHORT: u16 = 3;
    const LONG: u16 = 4;

    #[test]
    fn a_field_may_not_claim_more_than_the_file_has() {
        check(&tiff(&[(256, SHORT, 1, 9), (273, LONG, 1, 8), (COMPRESSION, SHORT, 1, 5)], 0)).unwrap();
        // A field that the decoder does not read may claim anything, and so may one of an unknown type.
        check(&tiff(&[(700, 1, u32::MAX, 8), (256, 99, u32::MAX, 8)], 0)).unwrap();
        for (field, text) in [
            ((273, LONG, 100, 8), "found 100 at byte 8"),
            ((273, LONG, u32::MAX, 8), "at most 262144 values of TIFF field 273"),
            ((258, SHORT, 17, 0), "at most 16 values of TIFF field 258"),
            ((258, SHORT, 3, u32::MAX), "at byte 4294967295"),
            ((COMPRESSION, SHORT, 1, 7), "found compression 7 (JPEG); save the image as PNG"),
            ((COMPRESSION, SHORT, 1, 9999), "found compression 9999 (unknown)"),
            ((322, LONG, 1, 20_000), "found a side of 20000"),
            ((NEW_SUBFILE_TYPE, LONG, 1, 1), "the thumbnail of one, as in raw photos"),
        ] {
            let error = check(&tiff(&[field], 0)).unwrap_err();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }

    #[test]
    fn a_directory_ends_within_the_file() {
        let good = tiff(&[(256, SHORT, 1, 9)], 0);
        for length in 4..good.len() {
            assert!(check(&good[..length]).is_err(), "{length}");
        }
        assert!(check(b"MM\0*\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn both_byte_orders_and_further_pages() {
        assert!(!has_more_pages(&tiff(&[], 0)) && has_more_pages(&tiff(&[], 77)));
        // Big-endian, with one field: compression 7.
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x03\0\x03\0\0\0\x01\0\x07\0\0\0\0\0\0";
        assert!(check(big).unwrap_err().contains("JPEG"));
        assert!(!has_more_pages(big));
        assert!(!has_more_pages(b"II*\0"));
    }
}
