use super::writer::{int, list, long, part, structure, text, zigzag};
use super::*;

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
    let inner = [(1, TRUE, vec![]), int(2, 9)];
    let bytes = structure(&[
        int(1, -3),
        text(2, "ab"),
        long(3, i64::MIN),
        part(4, &inner),
        list(5, &[structure(&inner), structure(&inner)]),
        (6, FALSE, vec![]),
        (7, MAP, [vec![1, BINARY << 4 | INT32], text(0, "k").2, zigzag(1)].concat()),
        (8, MAP, vec![0]),
        (9, DOUBLE, vec![0; 8]),
        (10, BYTE, vec![0xff]),
        long(11, i64::MAX),
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
    let int32 = |kind: u8, value: i64| Reader::new(&zigzag(value)).int32(Kind(kind));
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
    assert_eq!(skips(&structure(&[(1, TRUE, vec![]), text(2, "a")]), STRUCT), (true, true));
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
