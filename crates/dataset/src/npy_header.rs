//! Parses the header of a `.npy` file strictly: the Python dictionary with `descr`, `fortran_order`, `shape`.
//!
//! A general Python parser recurses on nested brackets and multiplies shapes without a check, so this check comes
//! first. It accepts only plain arrays of a known scalar type and of a sane size.

use std::io::Read;

use crate::error::DatasetError;
use crate::limits::checked_product;

const FORMAT: &str = "npy";
/// Maximum length of the header text in bytes; numpy writes about 100.
const MAX_HEADER: u32 = 64 << 10;
const MAX_DIMENSIONS: usize = 32;
const MAGIC: &[u8] = b"\x93NUMPY";

/// A checked header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    /// The bytes of the header in the file, including magic and length.
    pub(crate) bytes: Vec<u8>,
    /// The scalar type without byte order: `u1`, `f4`, ...
    pub(crate) scalar: &'static str,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes of all elements; at most `isize::MAX`.
    pub(crate) data_bytes: u64,
}

impl NpyHeader {
    /// Bytes of the array in memory: integers other than bytes become `i64`, halves `f32`.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&n| n as u64).product();
        match self.scalar {
            "b1" | "u1" | "f4" => self.data_bytes,
            "f2" => elements.saturating_mul(4),
            _ => elements.saturating_mul(8),
        }
    }
}

/// The supported scalar types: name and bytes per element.
const SCALARS: [(&str, u64); 12] = [
    ("b1", 1),
    ("u1", 1),
    ("i1", 1),
    ("u2", 2),
    ("i2", 2),
    ("u4", 4),
    ("i4", 4),
    ("u8", 8),
    ("i8", 8),
    ("f2", 2),
    ("f4", 4),
    ("f8", 8),
];

/// Reads magic, version, length and dictionary.
pub(crate) fn read_header(file: &str, reader: &mut impl Read) -> Result<NpyHeader, DatasetError> {
    let mut bytes = take(file, reader, 8, "the magic \\x93NUMPY and a version")?;
    if !bytes.starts_with(MAGIC) {
        let found = format!("{:02x?}", &bytes[..6]);
        return Err(DatasetError::malformed(file, FORMAT, format!("the magic {MAGIC:02x?}"), found));
    }
    let length = match (bytes[6], bytes[7]) {
        (1, 0) => {
            bytes.extend(take(file, reader, 2, "the header's length")?);
            u32::from(u16::from_le_bytes([bytes[8], bytes[9]]))
        }
        (2 | 3, 0) => {
            bytes.extend(take(file, reader, 4, "the header's length")?);
            u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]])
        }
        (major, minor) => {
            let found = format!("{major}.{minor}");
            return Err(DatasetError::malformed(file, FORMAT, "version 1.0, 2.0 or 3.0", found));
        }
    };
    if length > MAX_HEADER {
        let expected = format!("a header of at most {MAX_HEADER} bytes");
        return Err(DatasetError::malformed(file, FORMAT, expected, format!("{length} bytes")));
    }
    let text = take(file, reader, length as usize, "the header")?;
    let mut header = Dictionary { file, text: &text, at: 0 }.parse()?;
    bytes.extend_from_slice(&text);
    header.bytes = bytes;
    Ok(header)
}

fn take(file: &str, reader: &mut impl Read, count: usize, what: &str) -> Result<Vec<u8>, DatasetError> {
    let mut bytes = Vec::with_capacity(count);
    let read = reader.take(count as u64).read_to_end(&mut bytes);
    read.map_err(|source| DatasetError::Io { file: file.to_owned(), action: "read", source })?;
    if bytes.len() < count {
        let found = format!("the end after {}", bytes.len());
        return Err(DatasetError::malformed(
            file,
            FORMAT,
            format!("{} of {what}", files::counted(count, "byte")),
            found,
        ));
    }
    Ok(bytes)
}

/// Parses the single dictionary of the format.
struct Dictionary<'a> {
    file: &'a str,
    text: &'a [u8],
    at: usize,
}

impl Dictionary<'_> {
    fn parse(mut self) -> Result<NpyHeader, DatasetError> {
        let (mut scalar, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.accept(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            // A duplicate key is refused: another reader could use the other one.
            match key.as_str() {
                "descr" if scalar.is_none() => scalar = Some(self.scalar()?),
                "fortran_order" if fortran_order.is_none() => fortran_order = Some(self.boolean()?),
                "shape" if shape.is_none() => shape = Some(self.shape()?),
                _ => return Err(self.error("the keys descr, fortran_order and shape, once each")),
            }
            if !self.accept(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        if self.peek().is_some() {
            return Err(self.error("the end of the header"));
        }
        let (Some((scalar, size)), Some(fortran_order), Some(shape)) = (scalar, fortran_order, shape) else {
            return Err(self.error("the keys descr, fortran_order and shape"));
        };
        let elements = checked_product(&shape);
        let data_bytes =
            elements.and_then(|n| (n as u64).checked_mul(size)).filter(|&n| n <= isize::MAX as u64);
        let Some(data_bytes) = data_bytes else {
            return Err(DatasetError::malformed(
                self.file,
                FORMAT,
                "a size below 2^63",
                format!("shape {shape:?}"),
            ));
        };
        // Each dimension is at most the checked product.
        let shape = shape.into_iter().map(|n| n as usize).collect();
        Ok(NpyHeader { bytes: Vec::new(), scalar, fortran_order, shape, data_bytes })
    }

    fn scalar(&mut self) -> Result<(&'static str, u64), DatasetError> {
        let expected = "a bool, integer or float type such as '<f4' (number strings and objects first)";
        if self.peek() != Some(b'\'') && self.peek() != Some(b'"') {
            return Err(self.error(expected));
        }
        let text = self.string()?;
        let name = text.strip_prefix(['<', '>', '|']).unwrap_or("");
        let known = SCALARS.iter().find(|(scalar, _)| *scalar == name);
        // A byte order is optional for single bytes only.
        let known = known.filter(|(_, size)| *size == 1 || !text.starts_with('|'));
        known
            .copied()
            .ok_or_else(|| DatasetError::malformed(self.file, FORMAT, expected, format!("{text:?}")))
    }

    fn shape(&mut self) -> Result<Vec<u64>, DatasetError> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            if shape.len() == MAX_DIMENSIONS {
                return Err(self.error("at most 32 dimensions"));
            }
            shape.push(self.integer()?);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn integer(&mut self) -> Result<u64, DatasetError> {
        self.skip_space();
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).unwrap_or_default();
        let value = text.parse().map_err(|_| self.error("a dimension in 0..2^64"))?;
        self.at += digits;
        Ok(value)
    }

    fn boolean(&mut self) -> Result<bool, DatasetError> {
        self.skip_space();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("True or False"))
    }

    fn string(&mut self) -> Result<String, DatasetError> {
        let quote = if self.accept(b'\'') {
            b'\''
        } else if self.accept(b'"') {
            b'"'
        } else {
            return Err(self.error("a quoted string"));
        };
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|&b| b == quote).ok_or_else(|| self.error("a closing quote"))?;
        let plain = rest[..end].iter().all(|b| b.is_ascii_graphic() && *b != b'\\');
        if !plain {
            return Err(self.error("plain ASCII in quotes"));
        }
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn expect(&mut self, byte: u8) -> Result<(), DatasetError> {
        if self.accept(byte) { Ok(()) } else { Err(self.error(&format!("{:?}", byte as char))) }
    }

    fn accept(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn error(&self, expected: &str) -> DatasetError {
        let rest = &self.text[self.at.min(self.text.len())..];
        let found = match rest {
            [] => "the end of the header".to_owned(),
            _ => format!("{:?}", String::from_utf8_lossy(&rest[..rest.len().min(24)])),
        };
        DatasetError::malformed(self.file, FORMAT, format!("{expected} in the header"), found)
    }
}
