use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use super::super::columns::{MAX_COLUMNS, Physical};
use super::super::groups::{Chunk, Codec};
use super::super::thrift::writer::{int, list, long, part, structure, text};
use super::*;

/// A column or group: name, type, repetition and number of children.
fn element(name: &str, physical: i64, repetition: i64, children: i64) -> Vec<u8> {
    structure(&[int(1, physical), int(3, repetition), text(4, name), int(5, children)])
}

/// A chunk: codec, values, size and where its data begin.
fn chunk(codec: i64, values: i64, size: i64, data: i64) -> Vec<u8> {
    let own = [int(4, codec), long(5, values), long(7, size), long(9, data), long(11, 0)];
    structure(&[long(2, 0), part(3, &own)])
}

fn group(rows: i64, chunks: &[Vec<u8>]) -> Vec<u8> {
    structure(&[list(1, chunks), long(3, rows)])
}

fn footer(columns: &[Vec<u8>], groups: &[Vec<u8>]) -> Vec<u8> {
    structure(&[int(1, 2), list(2, columns), list(4, groups)])
}

/// A struct with bytes and a path, and labels.
fn columns() -> Vec<Vec<u8>> {
    vec![
        element("schema", 0, 0, 2),
        element("image", 0, 1, 2),
        element("bytes", 6, 1, 0),
        element("path", 6, 1, 0),
        element("label", 2, 1, 0),
    ]
}

fn chunks() -> Vec<Vec<u8>> {
    vec![chunk(1, 3, 100, 4), chunk(1, 3, 10, 104), chunk(1, 3, 20, 114)]
}

#[test]
fn columns_and_row_groups_are_found() {
    let bytes = footer(
        &columns(),
        &[group(3, &chunks()), group(0, &[chunk(1, 0, 0, 4), chunk(1, 0, 0, 4), chunk(1, 0, 0, 4)])],
    );
    let found = parse("a", &bytes, 134).unwrap();
    assert_eq!((found.image.physical, found.image.optional), (Physical::Bytes, 2));
    let label = found.label.unwrap();
    assert_eq!((label.physical, label.optional), (Physical::Int64, 1));
    label.check_label("a").unwrap();
    let at = |start, end| Chunk { start, end, codec: Codec::Snappy };
    assert_eq!(found.groups[0], Group { rows: 3, images: at(4, 104), labels: Some(at(114, 134)) });
    assert_eq!((found.groups.len(), found.groups[1].rows), (2, 0));
    // Binary and cls, in any order.
    let flat = [element("x", 0, 0, 2), element("cls", 1, 0, 0), element("image", 6, 0, 0)];
    let found =
        parse("a", &footer(&flat, &[group(1, &[chunk(0, 1, 9, 4), chunk(6, 1, 50, 13)])]), 80).unwrap();
    assert_eq!((found.image.optional, found.label.unwrap().physical), (0, Physical::Int32));
    assert_eq!(found.groups[0].images, Chunk { start: 13, end: 63, codec: Codec::Zstd });
}

#[test]
fn other_columns_are_listed() {
    let none = [element("x", 0, 0, 2), element("img", 6, 0, 0), element("label", 4, 0, 0)];
    let error = parse("a", &footer(&none, &[]), 9).unwrap_err().to_string();
    assert!(error.contains("expected a column image of encoded images"), "{error}");
    assert!(error.contains("found the columns img (binary), label (other)"), "{error}");
    let repeated = [element("x", 0, 0, 1), element("image", 6, 2, 0)];
    let error = parse("a", &footer(&repeated, &[]), 9).unwrap_err().to_string();
    assert!(error.contains("image (binary, repeated)"), "{error}");
    let number = [element("x", 0, 0, 1), element("image", 2, 0, 0)];
    assert!(parse("a", &footer(&number, &[]), 9).unwrap_err().to_string().contains("image (int64)"));
    let many: Vec<_> = (0..30).map(|n| element(&format!("c{n}"), 6, 0, 0)).collect();
    let error = parse("a", &footer(&[vec![element("x", 0, 0, 30)], many].concat(), &[]), 9).unwrap_err();
    assert!(error.to_string().contains("c19 (binary), ..."), "{error}");
    let double = [element("x", 0, 0, 2), element("image", 6, 0, 0), element("label", 5, 0, 0)];
    let label = parse("a", &footer(&double, &[]), 9).unwrap().label.unwrap();
    let error = label.check_label("a").unwrap_err().to_string();
    assert!(
        error.contains("expected labels of type int32 or int64, found the column label (other)"),
        "{error}"
    );
}

#[test]
fn hostile_footers_are_refused() {
    let one = |chunk: Vec<u8>, rows: i64| {
        footer(&[element("x", 0, 0, 1), element("image", 6, 0, 0)], &[group(rows, &[chunk])])
    };
    let deep: Vec<_> = (0..5000).map(|_| element("image", 6, 0, 1)).collect();
    let many: Vec<_> = (0..MAX_COLUMNS).map(|_| element("image", 6, 0, 0)).collect();
    let broken = "expected a footer with columns and row groups";
    for (bytes, reason) in [
        (Vec::new(), broken),
        (footer(&[], &[]), broken),
        // Row groups before the columns.
        (structure(&[list(4, &[group(3, &chunks())])]), broken),
        (footer(&columns()[..4], &[]), broken),
        // Columns twice.
        (structure(&[list(2, &columns()), list(2, &columns())]), broken),
        (footer(&[columns(), columns()].concat(), &[]), broken),
        (footer(&deep, &[]), broken),
        (footer(&[vec![element("x", 0, 0, MAX_COLUMNS as i64)], many].concat(), &[]), broken),
        (footer(&columns(), &[group(3, &chunks()[..2])]), broken),
        (one(chunk(1, 3, 100, 4), -1), broken),
        (one(chunk(1, 3, 100, 4), i64::MAX), broken),
        (one(chunk(1, 4, 100, 4), 3), "expected one value per row, found 4 values in 3 rows"),
        (one(chunk(1, 3, 100, 0), 3), "expected columns before 134, found 100 bytes at 0"),
        (one(chunk(1, 3, 200, 4), 3), "found 200 bytes at 4"),
        (one(chunk(1, 3, i64::MAX, i64::MAX), 3), "expected columns before 134"),
        (one(chunk(1, 3, -1, 4), 3), "found -1 bytes at 4"),
        (one(chunk(2, 3, 100, 4), 3), "expected pages with snappy, zstd or no compression, found gzip"),
        (one(chunk(99, 3, 100, 4), 3), "found codec 99"),
        (one(chunk(1, 1_000_000, 100, 4), 1_000_000), "found 1000000 rows in 100 bytes"),
    ] {
        let error = parse("a", &bytes, 134).unwrap_err().to_string();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
}

/// Otherwise 100,000 row groups of a small file could each stand for all of its pages.
#[test]
fn row_groups_share_no_bytes() {
    let at = |images: (i64, i64), labels: (i64, i64), rows: i64| {
        let of = |(start, end): (i64, i64)| chunk(1, rows, end - start, start);
        group(rows, &[of(images), of((4, 120)), of(labels)])
    };
    let parsed = |groups: &[Vec<u8>]| parse("a", &footer(&columns(), groups), 134);
    // In any order, and any order of columns; other columns and groups without rows are not read.
    parsed(&[at((74, 94), (4, 14), 2), at((14, 54), (94, 104), 2), at((54, 74), (104, 134), 2)]).unwrap();
    parsed(&[at((4, 54), (54, 64), 2), at((4, 54), (54, 64), 0)]).unwrap();
    for (groups, reason) in [
        (
            vec![at((4, 54), (54, 64), 2), at((4, 54), (64, 74), 2)],
            "found one up to byte 54 and one from byte 4",
        ),
        (
            vec![at((4, 54), (54, 64), 2), at((63, 90), (90, 99), 2)],
            "found one up to byte 64 and one from byte 63",
        ),
        (
            vec![at((60, 90), (90, 99), 2), at((4, 54), (54, 61), 2)],
            "found one up to byte 61 and one from byte 60",
        ),
        (vec![at((4, 54), (20, 30), 2)], "found one up to byte 54 and one from byte 20"),
    ] {
        let error = parsed(&groups).unwrap_err().to_string();
        assert!(error.contains("expected column chunks that do not overlap"), "{error}");
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
}

#[test]
fn the_end_of_a_file_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let of = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read("a", &File::open(&path).unwrap(), bytes.len() as u64)
    };
    for (bytes, reason) in [
        (&b"PAR1PAR1"[..], "expected 12 bytes or more, found 8"),
        (b"PAR1....\0\0\0\0PAR2", "expected PAR1 at the end"),
        (b"PAR1....\0\0\0\0PARE", "found an encrypted one"),
        (b"PAR1....\xff\xff\xff\xffPAR1", "found one of 4294967295 bytes"),
        (b"PAR1....\x05\0\0\0PAR1", "found one of 5 bytes"),
        (b"PAR1....\x04\0\0\0PAR1", "a footer with columns and row groups"),
    ] {
        let error = of(bytes).unwrap_err().to_string();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
    // A footer that is larger than any is not allocated.
    let mut file = File::create(&path).unwrap();
    file.seek(SeekFrom::Start((200 << 20) - 8)).unwrap();
    file.write_all(b"\0\0\0\x08PAR1").unwrap();
    let error = read("a", &File::open(&path).unwrap(), 200 << 20).unwrap_err();
    assert!(matches!(error, DatasetError::TooLarge { needed: 0x0800_0000, .. }), "{error}");
}

/// Files of pyarrow: scripts/make_parquet_goldens.py.
#[test]
fn footers_of_pyarrow() {
    let golden = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name);
        let file = File::open(path).unwrap();
        let length = file.metadata().unwrap().len();
        read(name, &file, length).unwrap()
    };
    let found = golden("struct-snappy.parquet");
    assert_eq!(found.groups.iter().map(|group| group.rows).collect::<Vec<_>>(), [4, 4, 2]);
    let at = |start, size| Chunk { start, end: start + size, codec: Codec::Snappy };
    assert_eq!(found.groups[1].images, at(919, 715));
    assert_eq!(found.groups[1].labels, Some(at(1729, 112)));
    let found = golden("binary-zstd.parquet");
    let (images, labels) = (found.groups[0].images, found.groups[0].labels.unwrap());
    assert_eq!((images.start, images.end, labels.start, labels.end), (85, 1861, 4, 85));
    assert_eq!((images.codec, found.groups[0].rows), (Codec::Zstd, 10));
}
