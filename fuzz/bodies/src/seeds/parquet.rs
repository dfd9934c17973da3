//! Parquet files of a few pages.

use super::{Seeds, named};
use crate::parquet::{PARTS, chunk, column, dictionary, file, footer, group, images, page, plain};
use crate::thrift::{Field, int, list, part, structure, text};

/// Pages and footer, without the bytes around them.
fn parts(pages: &[u8], footer: &[u8]) -> Vec<u8> {
    [&[PARTS], &(pages.len() as u16).to_le_bytes()[..], pages, footer].concat()
}

/// One row group with one column of these pages.
fn one(codec: i64, rows: i64, pages: &[Vec<u8>]) -> Vec<u8> {
    let pages = pages.concat();
    let group = group(rows, &[chunk(codec, rows, 4, 4 + pages.len())]);
    parts(&pages, &footer(&images(), &[group]))
}

pub(crate) fn parquet() -> Seeds {
    let data = |values: i64| page(0, 20, &[plain(values)], &[7; 20]);
    let length = data(2).len();
    let groups = |starts: [usize; 2]| {
        let groups = starts.map(|start| group(2, &[chunk(0, 2, start, start + length)]));
        parts(&[data(2), data(2)].concat(), &footer(&images(), &groups))
    };
    let with_own = |own: &[Field]| one(1, 2, &[page(2, 20, own, &[7; 20]), data(2)]);
    let whole = file(&data(2), &footer(&images(), &[group(2, &[chunk(0, 2, 4, 4 + length)])]));
    let encrypted = [&whole[..whole.len() - 4], b"PARE"].concat();
    named([
        ("plain", one(0, 3, &[data(2), data(1)])),
        ("dictionary", with_own(&[dictionary(2)])),
        ("two-types", with_own(&[dictionary(i32::MAX.into()), plain(1)])),
        ("claims-2^31-values", with_own(&[dictionary(i32::MAX.into())])),
        ("claims-512-mib", one(6, 1, &[page(0, 512 << 20, &[plain(1)], &[7; 20])])),
        ("index", one(0, 2, &[page(1, 9, &[part(6, &[])], &[7; 9]), data(2)])),
        ("version-2", version_2()),
        ("struct-and-labels", struct_and_labels()),
        ("two-groups", groups([4, 4 + length])),
        ("overlap", groups([4, 5])),
        ("gzip", one(2, 2, &[data(2)])),
        ("repeated", parts(&[], &footer(&[column("x", 0, 0, 1), column("image", 6, 2, 0)], &[]))),
        ("no-image", parts(&[], &footer(&[column("x", 0, 0, 1), column("img", 6, 0, 0)], &[]))),
        ("no-footer", parts(&data(2), &[])),
        ("file", whole),
        ("encrypted", encrypted),
    ])
}

/// A page of version 2 with statistics.
fn version_2() -> Vec<u8> {
    let statistics = part(8, &[text(5, "max"), text(6, "min")]);
    let numbers = [int(1, 2), int(2, 0), int(3, 2), int(4, 8), int(5, 2), int(6, 0), (7, 2, Vec::new())];
    let own = part(8, &[&numbers[..], &[statistics]].concat());
    one(6, 2, &[page(2, 20, &[dictionary(1)], &[7; 9]), page(3, 20, &[own], &[7; 9])])
}

/// The layout of the datasets library.
fn struct_and_labels() -> Vec<u8> {
    let columns = [
        column("schema", 0, 0, 2),
        column("image", 0, 1, 2),
        column("bytes", 6, 1, 0),
        column("path", 6, 1, 0),
        column("label", 2, 1, 0),
    ];
    let pages = [page(0, 20, &[plain(2)], &[7; 20]), page(0, 16, &[plain(2)], &[1; 16])];
    let (middle, end) = (4 + pages[0].len(), 4 + pages.concat().len());
    let chunks = [chunk(1, 2, 4, middle), chunk(1, 2, middle, middle), chunk(1, 2, middle, end)];
    let unknown = structure(&[text(1, "key"), text(2, "value")]);
    let mut footer = footer(&columns, &[group(2, &chunks)]);
    // Pairs of text, which other programs add.
    footer.pop();
    footer.extend(structure(&[list(5, &[unknown])]));
    parts(&pages.concat(), &footer)
}
