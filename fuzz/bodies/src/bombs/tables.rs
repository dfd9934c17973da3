//! Parquet files. Their headers are read as by a build that can decompress the pages.

use std::fs;
use std::io;
use std::path::Path;

use super::Bomb;
use crate::parquet::{chunk, dictionary, file, footer, group, images, page, plain};
use crate::thrift::{Field, LIST, structure};

pub(super) const BOMBS: &[Bomb] = &[
    bomb("parquet-footer-of-4-gib", |path| fs::write(path, b"PAR1\xff\xff\xff\xffPAR1")),
    bomb("parquet-columns-of-2^31", |path| {
        let columns: Field = (2, LIST, vec![0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
        fs::write(path, file(&[], &structure(&[columns])))
    }),
    // Read once per group, they would be 400 million pages.
    bomb("parquet-100000-groups-of-the-same-pages", |path| {
        let pages = page(0, 0, &[plain(1)], &[]).repeat(4000);
        let group = group(4000, &[chunk(0, 4000, 4, 4 + pages.len())]);
        fs::write(path, file(&pages, &footer(&images(), &vec![group; 100_000])))
    }),
    bomb("parquet-100000-pages-without-rows", |path| {
        plant(path, 1, &page(0, 0, &[plain(0)], &[]).repeat(100_000))
    }),
    bomb("parquet-dictionary-of-2^31-values", |path| {
        plant(path, 1, &page(2, 20, &[dictionary(i32::MAX.into())], &[0; 20]))
    }),
    // Small as a page of data, and as large as can be as a dictionary.
    bomb("parquet-page-of-two-types", |path| {
        plant(path, 1, &page(2, 20, &[dictionary(i32::MAX.into()), plain(1)], &[0; 20]))
    }),
    bomb("parquet-page-of-512-mib", |path| plant(path, 1, &page(0, 512 << 20, &[plain(1)], &[0; 20]))),
];

const fn bomb(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: read }
}

fn read(path: &Path) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    dataset::parquet_headers("bomb", &bytes).map(drop).map_err(|e| e.to_string())
}

/// A row group of one column.
fn plant(path: &Path, rows: i64, pages: &[u8]) -> io::Result<()> {
    let group = group(rows, &[chunk(1, rows, 4, 4 + pages.len())]);
    fs::write(path, file(pages, &footer(&images(), &[group])))
}
