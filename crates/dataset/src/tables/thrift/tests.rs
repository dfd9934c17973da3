use super::*;

pub(in crate::tables) const INT64: u8 = 6;

/// A field of a structure: its number, its type and its encoded value.
pub(in crate::tables) type Field = (u8, u8, Vec<u8>);

/// A structure with these fields, each encoded with its type.
pub(in crate::tables) fn structure(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, kind, value) in fields {
        bytes.extend([*kind, 2 * number]);
        bytes.extend(value);
    }
    bytes.push(0);
    bytes
}

/// A number as a field of 32 or 64 bits.
pub(in crate::tables) fn number(value: i64) -> Vec<u8> {
    unsigned(((value << 1) ^ (value >> 63)) as u64)
}

fn unsigned(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Text as a field.
pub(in crate::tables) fn text(value: &str) -> Vec<u8> {
    [unsigned(value.len() as u64), value.as_bytes().to_vec()].concat()
}

/// A list of structures.
pub(in crate::tables) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [vec![0xf0 | STRUCT], unsigned(items.len() as u64), items.concat()].concat()
}

/// The numbers of a structure, by their fields; other values are skipped.
fn numbers(bytes: &[u8]) -> Option<Vec<(i64, i64)>> {
    let (mut reader, mut found) = (Reader::new(bytes), Vec::new());
    reader.structure(&mut |reader, field, kind| {
        if kind == Kind(BYTE) || INTEGERS.contains(&kind.0) {
            found.push((field, reader.integer(kind)?));
            return Some(());
        }
        reader.skip(kind)
    })?;
    (reader.position() == bytes.len()).then_some(found)
}

#[test]
fn numbers_are_read_and_all_else_is_skipped() {
    let inner = structure(&[(1, TRUE, vec![]), (2, 5, number(9))]);
    let bytes = structure(&[
        (1, 5, number(-3)),
        (2, BINARY, text("ab")),
        (3, 6, number(i64::MIN)),
        (4, STRUCT, inner.clone()),
        (5, LIST, list(&[inner.clone(), inner])),
        (6, FALSE, vec![]),
        (7, MAP, [vec![1, BINARY << 4 | 5], text("k"), number(1)].concat()),
        (8, MAP, vec![0]),
        (9, DOUBLE, vec![0; 8]),
        (10, BYTE, vec![0xff]),
        (11, 6, number(i64::MAX)),
    ]);
    let want = vec![(1, -3), (3, i64::MIN), (10, -1), (11, i64::MAX)];
    assert_eq!(numbers(&bytes), Some(want));
    // The short form of a field's number counts from the one before.
    assert_eq!(numbers(&[0x15, 2, 0x26, 4, 0]), Some(vec![(1, 1), (3, 2)]));
    for end in 0..bytes.len() {
        assert_eq!(numbers(&bytes[..end]), None, "{end}");
    }
}

#[test]
fn what_readers_disagree_on_is_refused() {
    // Field 65537 would be field 1 in 16 bits.
    assert_eq!(numbers(&[0x05, 0x82, 0x80, 0x08, 2, 0]), None);
    assert_eq!(numbers(&[0x05, 0xfe, 0xff, 0x03, 2, 0]), Some(vec![(32767, 1)]));
    assert_eq!(numbers(&[0x05, 0xfe, 0xff, 0x03, 2, 0x15, 2, 0]), None);
    // 32 bits mean a field of that type, and a value that fits.
    let int32 = |kind: u8, value: i64| Reader::new(&number(value)).int32(Kind(kind));
    assert_eq!(int32(INT32, i32::MIN.into()), Some(i32::MIN.into()));
    assert_eq!(int32(INT32, 1 << 32), None);
    assert_eq!((int32(6, 1), int32(BYTE, 1)), (None, None));
    // A list, a set and a map, also within a structure, but not other values.
    let skips = |bytes: &[u8], kind: u8| {
        let (mut all, mut scalars) = (Reader::new(bytes), Reader::without_collections(bytes));
        (all.skip(Kind(kind)).is_some(), scalars.skip(Kind(kind)).is_some())
    };
    for kind in [LIST, SET] {
        assert_eq!(skips(&[0x11, 1], kind), (true, false));
        assert_eq!(skips(&[0x10 | kind, 0x11, 1, 0], STRUCT), (true, false));
    }
    assert_eq!(skips(&[0], MAP), (true, false));
    assert_eq!(skips(&structure(&[(1, TRUE, vec![]), (2, BINARY, text("a"))]), STRUCT), (true, true));
}

#[test]
fn claims_beyond_the_end_and_deep_nesting_are_refused() {
    for bytes in [
        // A text and a list of 2^31 bytes and elements, and a map.
        &[0x18, 0xff, 0xff, 0xff, 0xff, 0x07, 0][..],
        &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        &[0x1b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x55, 0],
        // A number without an end, and an unknown type.
        &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0],
        &[0x1e, 0],
    ] {
        assert_eq!(numbers(bytes), None, "{bytes:02x?}");
    }
    // Lists of one list each.
    let deep = [vec![0x19], vec![0x19; 100_000], vec![0x15; 100_000]].concat();
    assert_eq!(numbers(&deep), None);
    // Structures within each other.
    assert_eq!(numbers(&vec![0x1c; 1_000_000]), None);
}
