//! Reads the footer of a Parquet file (<https://github.com/apache/parquet-format>): which columns it has, and where the
//! images and labels of each row group are.
//!
//! The file ends with the footer, its length in 4 bytes, and `PAR1`. Numbers of fields are those of `parquet.thrift`.

use super::FORMAT;
use super::columns::{self, Chosen, Column, chosen};
use super::groups::{self, Group};
use super::input::Input;
use super::thrift::Reader;
use crate::error::DatasetError;
use crate::limits::check_size;

/// First and last bytes of a file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// The same if the footer is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// Maximum size of a footer in bytes: some 100,000 row groups.
const MAX_FOOTER: u64 = 64 << 20;

/// What a footer says of images and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) image: Column,
    pub(super) label: Option<Column>,
    pub(super) groups: Vec<Group>,
}

/// Reads the footer of a file of `length` bytes.
///
/// # Errors
/// [`DatasetError::Malformed`]; [`DatasetError::TooLarge`]; [`DatasetError::Unsuitable`] without a column of images, or
/// with a codec that is not read.
pub(super) fn read(name: &str, file: &dyn Input, length: u64) -> Result<Footer, DatasetError> {
    let wrong = |expected: &str, found: String| DatasetError::malformed(name, FORMAT, expected, found);
    let mut end = [0; 8];
    let tail = length.checked_sub(8).filter(|&tail| tail >= 4);
    let tail = tail.ok_or_else(|| wrong("12 bytes or more", length.to_string()))?;
    let damaged = |e: std::io::Error| wrong("a footer", e.to_string());
    file.bytes_at(tail, &mut end).map_err(damaged)?;
    if end[4..] == *ENCRYPTED {
        return Err(DatasetError::unsuitable(name, "a footer in plain text", "an encrypted one"));
    }
    if end[4..] != *MAGIC {
        return Err(wrong("PAR1 at the end", format!("{:02x?}", &end[4..])));
    }
    let size = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let start = tail.checked_sub(size).filter(|&start| start >= 4);
    let start = start.ok_or_else(|| wrong("a footer within the file", format!("one of {size} bytes")))?;
    check_size(name, "the footer", size, MAX_FOOTER)?;
    let mut bytes = vec![0; size as usize];
    file.bytes_at(start, &mut bytes).map_err(damaged)?;
    parse(name, &bytes, start)
}

/// Parses a footer; the pages of the file end at `data_end`.
fn parse(name: &str, bytes: &[u8], data_end: u64) -> Result<Footer, DatasetError> {
    // Until there are columns: why they cannot be used, or nothing.
    let mut columns: Result<Chosen, Option<DatasetError>> = Err(None);
    let mut groups = Vec::new();
    let mut failed = None;
    let mut reader = Reader::new(bytes);
    let done = reader.structure(&mut |reader, field, kind| match field {
        2 => {
            // Other columns would not be those of the row groups.
            if columns.is_ok() {
                return None;
            }
            columns = chosen(name, columns::read(reader, kind)?).map_err(Some);
            Some(())
        }
        4 => {
            // The columns come first, and those that are not needed are passed over.
            let Ok(columns) = &columns else { return None };
            reader.structures(kind, &mut |reader, _| {
                match groups::read(name, reader, columns, data_end)? {
                    Ok(group) => groups.push(group),
                    Err(error) => failed = failed.take().or(Some(error)),
                }
                Some(())
            })
        }
        _ => reader.skip(kind),
    });
    let broken = || {
        let found = format!("other bytes at {} of {}", reader.position(), bytes.len());
        DatasetError::malformed(name, FORMAT, "a footer with columns and row groups", found)
    };
    if let Some(error) = failed {
        return Err(error);
    }
    let columns = columns.map_err(|error| error.unwrap_or_else(broken))?;
    done.ok_or_else(broken)?;
    groups::check_apart(name, &groups)?;
    let Chosen { image, label, .. } = columns;
    Ok(Footer { image: image.1, label: label.map(|(_, label)| label), groups })
}

#[cfg(test)]
mod tests;
