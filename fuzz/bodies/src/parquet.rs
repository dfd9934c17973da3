//! Headers of Parquet files, and files with every field of a header free.

use dataset::{ParquetPage, parquet_headers};

use crate::thrift::{Field, int, list, long, part, structure, text};

/// First byte of an input whose rest is pages and a footer; the next two bytes give the length of the pages.
pub(crate) const PARTS: u8 = b'F';

/// A file, or its pages and its footer, which are completed to a file.
pub(crate) fn body(data: &[u8]) {
    match data {
        [PARTS, low, high, rest @ ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let (pages, footer) = rest.split_at(length.min(rest.len()));
            check(&file(pages, footer));
        }
        _ => check(data),
    }
}

/// The pages are within the file and share no bytes, and what they claim has limits.
fn check(data: &[u8]) {
    let Ok(headers) = parquet_headers("fuzz", data) else { return };
    assert_eq!(parquet_headers("fuzz", data).expect("it was accepted a moment ago"), headers);
    assert_eq!(rows(&headers.images), headers.rows);
    assert!(headers.labels.is_empty() || rows(&headers.labels) == headers.rows);
    assert!(4 * headers.rows <= data.len() as u64);
    let mut pages = [headers.images, headers.labels].concat();
    pages.sort_by_key(|page| page.offset);
    let end = pages.iter().fold(4, |end, page| {
        assert!(page.offset >= end && page.length > 0);
        page.offset + u64::from(page.length)
    });
    assert!(end + 8 <= data.len() as u64);
    for page in pages {
        let (length, unpacked) = (u64::from(page.length), u64::from(page.unpacked));
        assert!(unpacked <= (200 * length).max(16 << 20) && unpacked <= 512 << 20);
        let values = u64::from(page.values);
        assert!(if page.dictionary { 4 * values <= unpacked } else { values > 0 });
    }
}

fn rows(pages: &[ParquetPage]) -> u64 {
    pages.iter().filter(|page| !page.dictionary).map(|page| u64::from(page.values)).sum()
}

/// A file. The pages begin at byte 4.
pub(crate) fn file(pages: &[u8], footer: &[u8]) -> Vec<u8> {
    [b"PAR1", pages, footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// A footer of columns and row groups.
pub(crate) fn footer(columns: &[Vec<u8>], groups: &[Vec<u8>]) -> Vec<u8> {
    structure(&[int(1, 2), list(2, columns), list(4, groups)])
}

/// A column or a group of columns: its name, type, repetition and number of children.
pub(crate) fn column(name: &str, physical: i64, repetition: i64, children: i64) -> Vec<u8> {
    structure(&[int(1, physical), int(3, repetition), text(4, name), int(5, children)])
}

/// The only column: images.
pub(crate) fn images() -> Vec<Vec<u8>> {
    vec![column("schema", 0, 0, 1), column("image", 6, 0, 0)]
}

/// A row group.
pub(crate) fn group(rows: i64, chunks: &[Vec<u8>]) -> Vec<u8> {
    structure(&[list(1, chunks), long(3, rows)])
}

/// Where the values of a column are in a row group.
pub(crate) fn chunk(codec: i64, values: i64, start: usize, end: usize) -> Vec<u8> {
    let sizes = [int(4, codec), long(5, values), long(7, end as i64 - start as i64), long(9, start as i64)];
    structure(&[long(2, 0), part(3, &sizes)])
}

/// A page of this type, with the numbers of its own type.
pub(crate) fn page(kind: i64, unpacked: i64, own: &[Field], data: &[u8]) -> Vec<u8> {
    let sizes = [int(1, kind), int(2, unpacked), int(3, data.len() as i64)];
    [structure(&[&sizes[..], own].concat()), data.to_vec()].concat()
}

/// The numbers of a page of plain values.
pub(crate) fn plain(values: i64) -> Field {
    part(5, &[int(1, values), int(2, 0), int(3, 3), int(4, 3)])
}

/// The numbers of a dictionary.
pub(crate) fn dictionary(values: i64) -> Field {
    part(7, &[int(1, values), int(2, 0)])
}
