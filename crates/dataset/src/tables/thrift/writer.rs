//! Writes the compact protocol of Apache Thrift, with every field free: for tests here and the fuzzers' bodies.
#![allow(dead_code, reason = "each takes the part it needs")]

/// A field of a structure: its number, its type and its encoded value.
pub(crate) type Field = (u8, u8, Vec<u8>);

pub(crate) const LIST: u8 = 9;
const INT: u8 = 5;
const LONG: u8 = 6;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;

/// A structure. Each field has its number in full.
pub(crate) fn structure(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, kind, value) in fields {
        bytes.extend([*kind, 2 * number]);
        bytes.extend(value);
    }
    bytes.push(0);
    bytes
}

/// A field of 32 bits.
pub(crate) fn int(number: u8, value: i64) -> Field {
    (number, INT, zigzag(value))
}

/// A field of 64 bits.
pub(crate) fn long(number: u8, value: i64) -> Field {
    (number, LONG, zigzag(value))
}

/// Text or binary data.
pub(crate) fn text(number: u8, value: &str) -> Field {
    (number, BINARY, [varint(value.len() as u64), value.as_bytes().to_vec()].concat())
}

/// A structure as a field.
pub(crate) fn part(number: u8, fields: &[Field]) -> Field {
    (number, STRUCT, structure(fields))
}

/// A list of structures.
pub(crate) fn list(number: u8, items: &[Vec<u8>]) -> Field {
    (number, LIST, [vec![0xf0 | STRUCT], varint(items.len() as u64), items.concat()].concat())
}

/// A whole number of any width.
pub(crate) fn zigzag(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
