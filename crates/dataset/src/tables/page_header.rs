//! Reads the header of a page: its type, its sizes, and how many values it has in which encoding.
//!
//! The crate `parquet` reads the same bytes once more when the page is decoded. Whatever a reader may understand in two
//! ways is refused, so that it finds what was checked.

use super::FORMAT;
use super::input::Input;
use super::thrift::{Kind, Reader};
use crate::error::DatasetError;

/// Types of pages.
pub(super) const DATA: i64 = 0;
pub(super) const INDEX: i64 = 1;
pub(super) const DICTIONARY: i64 = 2;
pub(super) const DATA_2: i64 = 3;

/// Bytes that are read for a header, and how many more if it has long statistics. A header costs little more to read
/// than its own length.
const WINDOWS: [u64; 6] = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20];

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    /// As numbers of values in the dictionary.
    Dictionary,
    /// As differences, which only numbers are.
    Delta,
}

/// What the header of a page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: i64,
    pub(super) size: i64,
    pub(super) compressed: i64,
    pub(super) values: Values,
}

/// What it says of the values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) count: Option<i64>,
    /// `None` for an encoding that is not read. Of some, a small page can claim any size.
    pub(super) coding: Option<Coding>,
}

/// The header at `at` with its length.
///
/// # Errors
/// [`DatasetError::Malformed`].
pub(super) fn read(name: &str, file: &dyn Input, at: u64, end: u64) -> Result<(Header, u64), DatasetError> {
    let wrong =
        |found: String| DatasetError::malformed(name, FORMAT, format!("the header of a page at {at}"), found);
    for window in WINDOWS {
        let mut bytes = vec![0; window.min(end - at) as usize];
        file.bytes_at(at, &mut bytes).map_err(|e| wrong(e.to_string()))?;
        if let Some((header, length)) = parse(&bytes) {
            let header = header.ok_or_else(|| wrong("one of several types of pages".to_owned()))?;
            return Ok((header, length as u64));
        }
        if window >= end - at {
            break;
        }
    }
    Err(wrong("other bytes".to_owned()))
}

/// Parses a header, which takes the returned number of bytes. It is `None` if it tells of the values of another type of
/// page, or tells of them twice.
fn parse(bytes: &[u8]) -> Option<(Option<Header>, usize)> {
    let (mut kind, mut size, mut compressed) = (-1, -1, -1);
    // Of which type of page, and what; and whether that is unclear.
    let (mut told, mut unclear) = (None, false);
    let mut reader = Reader::without_collections(bytes);
    reader.structure(&mut |reader, field, wire| {
        match field {
            1 => kind = reader.int32(wire)?,
            2 => size = reader.int32(wire)?,
            3 => compressed = reader.int32(wire)?,
            // A checksum.
            4 => {
                reader.int32(wire)?;
            }
            5..=8 => {
                let of = match field {
                    5 => DATA,
                    6 => INDEX,
                    7 => DICTIONARY,
                    _ => DATA_2,
                };
                unclear |= told.replace((of, values(reader, of, wire)?)).is_some();
            }
            _ => reader.skip(wire)?,
        }
        Some(())
    })?;
    let (of, values) = told.unwrap_or((kind, Values::default()));
    let header = Header { kind, size, compressed, values };
    Some(((of == kind && !unclear).then_some(header), reader.position()))
}

/// The part of a header that only one type of page has.
fn values(reader: &mut Reader<'_>, of: i64, wire: Kind) -> Option<Values> {
    let mut values = Values::default();
    if !Reader::is_structure(wire) {
        return None;
    }
    reader.structure(&mut |reader, field, wire| {
        match (of, field) {
            (DATA | DICTIONARY | DATA_2, 1) => values.count = Some(reader.int32(wire)?),
            (DATA, 2) | (DATA_2, 4) => {
                values.coding = match reader.int32(wire)? {
                    0 => Some(Coding::Plain),
                    2 | 8 => Some(Coding::Dictionary),
                    5 => Some(Coding::Delta),
                    _ => None,
                }
            }
            // Other numbers: encodings, numbers of rows and of empty values, lengths of levels.
            (DATA, 3..=4) | (DICTIONARY, 2) | (DATA_2, 2..=3 | 5..=6) => {
                reader.int32(wire)?;
            }
            _ => reader.skip(wire)?,
        }
        Some(())
    })?;
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::super::thrift::writer::{Field, int, list, long, part, structure, text};
    use super::super::thrift::{BYTE, LIST};
    use super::*;

    /// A header of this type, 9 bytes and 7 compressed ones, with more fields.
    fn header(kind: i64, more: &[Field]) -> Vec<u8> {
        let sizes = [int(1, kind), int(2, 9), int(3, 7)];
        structure(&[&sizes[..], more].concat())
    }

    #[test]
    fn each_type_of_page_has_its_own_numbers() {
        let data = part(5, &[int(1, 3), int(2, 8), int(3, 3), int(4, 3), part(5, &[text(1, "x")])]);
        let data_2 =
            part(8, &[int(1, 5), int(2, 1), int(3, 5), int(4, 5), int(5, 2), int(6, 0), (7, 2, vec![])]);
        for (kind, told, count, coding) in [
            (DATA, data, Some(3), Some(Coding::Dictionary)),
            (DICTIONARY, part(7, &[int(1, 4), int(2, 0), (3, 1, vec![])]), Some(4), None),
            (DATA_2, data_2, Some(5), Some(Coding::Delta)),
            (INDEX, part(6, &[]), None, None),
            (DATA, part(5, &[int(1, 1), int(2, 7)]), Some(1), None),
        ] {
            let bytes = header(kind, &[int(4, -1), told]);
            let values = Values { count, coding };
            let want = Header { kind, size: 9, compressed: 7, values };
            assert_eq!(parse(&bytes), Some((Some(want), bytes.len())));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), None, "{end}");
            }
        }
        // Without numbers; the caller decides whether they are needed.
        let (found, _) = parse(&header(INDEX, &[])).unwrap();
        assert_eq!(found.unwrap().values, Values::default());
    }

    /// The crate `parquet` chooses by the type of the page, so it would find other numbers than the last.
    #[test]
    fn numbers_of_another_type_of_page_are_refused() {
        let huge = || part(7, &[int(1, i32::MAX.into()), int(2, 0)]);
        let small = |field| part(field, &[int(1, 1), int(2, 0)]);
        for told in [
            vec![huge(), small(8)],
            vec![huge(), small(7)],
            vec![small(5), small(7)],
            vec![small(6), small(7)],
            vec![small(5)],
            vec![small(6)],
            vec![small(8)],
        ] {
            let bytes = header(DICTIONARY, &told);
            assert_eq!(parse(&bytes), Some((None, bytes.len())), "{told:?}");
        }
        let bytes: &[u8] = &header(DICTIONARY, &[huge(), small(8)]);
        let error = read("a", &bytes, 0, bytes.len() as u64).unwrap_err().to_string();
        let reason = "expected the header of a page at 0, found one of several types of pages";
        assert!(error.contains(reason), "{error}");
    }

    /// The crate `parquet` reads these fields as numbers and structures whatever type is written.
    #[test]
    fn values_of_another_type_are_refused() {
        for told in [
            list(5, &[]),
            text(5, ""),
            part(5, &[(1, BYTE, vec![2])]),
            part(5, &[long(1, 2)]),
            part(5, &[int(1, 1 << 32)]),
            part(5, &[int(1, 1), (3, BYTE, vec![0x80])]),
            part(5, &[int(1, 1), (9, LIST, vec![0x11, 1])]),
            (9, LIST, vec![0x11, 1]),
            (4, BYTE, vec![0x80]),
        ] {
            assert_eq!(parse(&header(DATA, std::slice::from_ref(&told))), None, "{told:?}");
        }
        for field in [2, 3, 5, 6] {
            let told = part(8, &[int(1, 1), (field, BYTE, vec![0x80])]);
            assert_eq!(parse(&header(DATA_2, &[told])), None, "{field}");
        }
        let told = part(7, &[int(1, 1), (2, BYTE, vec![0x80])]);
        assert_eq!(parse(&header(DICTIONARY, &[told])), None);
    }

    #[test]
    fn a_header_may_have_long_statistics() {
        for length in [0, 900, 1100, 5000, 300_000, (1 << 20) - 100] {
            let statistics = part(5, &[text(1, &"x".repeat(length))]);
            let header = header(DATA, &[part(5, &[int(1, 1), int(2, 0), statistics])]);
            let bytes: &[u8] = &[header.clone(), vec![7; 2000]].concat();
            let (_, found) = read("a", &bytes, 0, bytes.len() as u64).unwrap();
            assert_eq!(found, header.len() as u64);
        }
        let large: &[u8] = &header(DATA, &[part(5, &[text(5, &"x".repeat(1 << 20))])]);
        let error = read("a", &large, 0, large.len() as u64).unwrap_err().to_string();
        assert!(error.contains("the header of a page at 0, found other bytes"), "{error}");
    }
}
