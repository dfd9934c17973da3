//! Reads the compact protocol of Apache Thrift, in which the headers of a Parquet file are written
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
//!
//! Every length is compared with the bytes that are left before it is used. `None` is text that breaks the protocol.

/// Maximum nesting of structures and lists.
const MAX_DEPTH: usize = 32;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u8);

const TRUE: u8 = 1;
const FALSE: u8 = 2;
pub(super) const BYTE: u8 = 3;
const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
const INT32: u8 = 5;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// A position in encoded bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether lists, sets and maps are skipped.
    collections: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, collections: true }
    }

    /// The same, but lists, sets and maps break the protocol: readers differ in how they skip truth values in them.
    pub(super) fn without_collections(bytes: &'a [u8]) -> Self {
        Self { collections: false, ..Self::new(bytes) }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An unsigned number, 7 bits per byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads a structure: `take` gets the number and the type of each field, and reads its value or skips it.
    pub(super) fn structure(
        &mut self,
        take: &mut dyn FnMut(&mut Self, i64, Kind) -> Option<()>,
    ) -> Option<()> {
        // Fields are numbered with 16 bits; a reader that cuts off the others would see another field.
        let mut number = 0_i16;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if head == 0 {
                return Some(());
            }
            number = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                step => number.checked_add(step.into())?,
            };
            take(self, number.into(), Kind(kind))?;
        }
    }

    /// Reads a list of structures: `take` reads each. It is told how many there are.
    pub(super) fn structures(
        &mut self,
        kind: Kind,
        take: &mut dyn FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        if kind.0 != LIST {
            return None;
        }
        match self.list()? {
            (_, 0) => Some(()),
            (STRUCT, count) => (0..count).try_for_each(|_| take(self, count)),
            _ => None,
        }
    }

    /// A whole number of any width.
    pub(super) fn integer(&mut self, kind: Kind) -> Option<i64> {
        match kind.0 {
            BYTE => Some(i64::from(self.byte()? as i8)),
            other if INTEGERS.contains(&other) => self.zigzag(),
            _ => None,
        }
    }

    /// A number of 32 bits.
    pub(super) fn int32(&mut self, kind: Kind) -> Option<i64> {
        if kind.0 != INT32 {
            return None;
        }
        Some(i32::try_from(self.zigzag()?).ok()?.into())
    }

    /// Text or binary data.
    pub(super) fn text(&mut self, kind: Kind) -> Option<&'a [u8]> {
        if kind.0 != BINARY {
            return None;
        }
        let length = usize::try_from(self.varint()?).ok()?;
        let text = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(text)
    }

    /// Whether a field is a structure.
    pub(super) fn is_structure(kind: Kind) -> bool {
        kind.0 == STRUCT
    }

    /// Type and number of the elements. Each takes a byte or more.
    fn list(&mut self) -> Option<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            short => usize::from(short),
        };
        (count <= self.left()).then_some((head & 0x0f, count))
    }

    /// Passes over the value of a field.
    pub(super) fn skip(&mut self, kind: Kind) -> Option<()> {
        // The type of a field of truth values says which it is.
        if matches!(kind.0, TRUE | FALSE) { Some(()) } else { self.skip_value(kind.0, 0) }
    }

    fn skip_value(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            LIST | SET | MAP if !self.collections => None,
            TRUE | FALSE | BYTE => self.byte().map(drop),
            DOUBLE => (0..8).try_for_each(|_| self.byte().map(drop)),
            BINARY => self.text(Kind(BINARY)).map(drop),
            LIST | SET => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_value(kind, depth + 1))
            }
            MAP => {
                let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= self.left())?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_value(kinds >> 4, depth + 1)?;
                    self.skip_value(kinds & 0x0f, depth + 1)
                })
            }
            STRUCT => self.structure(&mut |reader, _, kind| match kind.0 {
                TRUE | FALSE => Some(()),
                kind => reader.skip_value(kind, depth + 1),
            }),
            other if INTEGERS.contains(&other) => self.varint().map(drop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod writer;
