//! Walks the headers of the pages of a column, so that any page can be read without those before it. A page is what is
//! compressed as a whole.

use super::FORMAT;
use super::groups::Chunk;
use super::input::Input;
use super::page_header::{self, Coding, DATA, DATA_2, DICTIONARY, INDEX};
use crate::error::DatasetError;
use crate::limits::{Inflation, check_size};

/// Maximum size of a page in bytes, before and after decompression.
const MAX_PAGE: u64 = 512 << 20;
/// Bytes of a value in a dictionary: a number, or the length of a binary.
const LEAST_VALUE: u64 = 4;

/// A page of a column, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// Bytes once it is decompressed.
    pub(super) size: u32,
    /// Rows of a page of data; values of a dictionary.
    pub(super) rows: u32,
    pub(super) coding: Coding,
}

/// The pages of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) dictionary: Option<Page>,
    /// In order; none of them is empty.
    pub(super) data: Vec<Page>,
}

/// The pages of a chunk with `rows` rows.
///
/// # Errors
/// [`DatasetError::Malformed`]; [`DatasetError::TooLarge`] or [`DatasetError::Inflates`] for a page that is not read.
pub(super) fn walk(
    name: &str,
    file: &dyn Input,
    chunk: Chunk,
    rows: u32,
    inflation: Inflation,
) -> Result<Pages, DatasetError> {
    let mut pages = Pages::default();
    let (mut at, mut found) = (chunk.start, 0_u64);
    while at < chunk.end && found < u64::from(rows) {
        let (header, length) = page_header::read(name, file, at, chunk.end)?;
        let within = |size: i64| u64::try_from(size).ok();
        let sizes = within(header.compressed).zip(within(header.size));
        let fits = |&(compressed, _): &(u64, u64)| compressed <= chunk.end - at - length;
        let Some((compressed, size)) = sizes.filter(fits) else {
            let found = format!("one of {} bytes at {at}", header.compressed);
            return Err(DatasetError::malformed(name, FORMAT, "a page within its column", found));
        };
        check_size(name, "a page", compressed.max(size), MAX_PAGE)?;
        inflation.check(name, "a page", size, compressed)?;
        let page = |rows: u32| Page {
            offset: at,
            length: (length + compressed) as u32,
            size: size as u32,
            rows,
            coding: header.values.coding.unwrap_or(Coding::Plain),
        };
        let wrong = |found: String| {
            let expected = format!("pages of {rows} values, and no more in the dictionary");
            DatasetError::malformed(name, FORMAT, expected, found)
        };
        let values = u32::try_from(header.values.count.unwrap_or(-1));
        match (header.kind, values) {
            (DATA | DATA_2, Ok(values)) => {
                if header.values.coding.is_none() {
                    let expected = "values that are plain, in a dictionary, or differences";
                    return Err(DatasetError::unsuitable(name, expected, "another encoding"));
                }
                found += u64::from(values);
                if found > u64::from(rows) {
                    return Err(wrong(format!("{found} values or more")));
                }
                pages.data.extend((values > 0).then(|| page(values)));
            }
            (DICTIONARY, Ok(values)) if pages.dictionary.is_none() && pages.data.is_empty() => {
                if u64::from(values) * LEAST_VALUE > size || values > rows {
                    return Err(wrong(format!("a dictionary of {values} values in {size} bytes")));
                }
                pages.dictionary = Some(page(values));
            }
            (INDEX, _) => {}
            (kind, _) => return Err(wrong(format!("a page of type {kind} at {at}"))),
        }
        at += length + compressed;
    }
    if found != u64::from(rows) {
        let expected = format!("pages of {rows} values");
        return Err(DatasetError::malformed(name, FORMAT, expected, format!("{found} values")));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::super::groups::Codec;
    use super::super::thrift::writer::{int, part, structure, text};
    use super::*;

    /// A page of `length` bytes that claims this size and number of values.
    fn page(kind: i64, size: i64, length: usize, values: i64) -> Vec<u8> {
        let statistics = [text(1, &"x".repeat(2000))];
        // Each of these numbers of values stands for another encoding.
        let encoding = match values {
            3 => 8,
            7 => 7,
            _ => 0,
        };
        let own = [int(1, values), int(2, encoding), part(5, &statistics)];
        let field = match kind {
            INDEX => 6,
            DICTIONARY => 7,
            DATA_2 => 8,
            _ => 5,
        };
        let sizes = [int(1, kind), int(2, size), int(3, length as i64)];
        let mut bytes = structure(&[&sizes[..], &[part(field, &own)]].concat());
        bytes.extend(vec![7; length]);
        bytes
    }

    fn walked(pages: &[Vec<u8>], rows: u32) -> Result<Pages, DatasetError> {
        let bytes: &[u8] = &[b"PAR1".to_vec(), pages.concat()].concat();
        let chunk = Chunk { start: 4, end: bytes.len() as u64, codec: Codec::Snappy };
        walk("a", &bytes, chunk, rows, Inflation::default())
    }

    #[test]
    fn pages_have_their_place_and_rows() {
        let all = [
            page(DICTIONARY, 40, 30, 2),
            page(DATA, 90, 80, 3),
            page(INDEX, 1, 1, 0),
            page(DATA, 0, 0, 0),
            page(DATA, 20, 20, 1),
        ];
        let starts: Vec<usize> = (0..5).map(|n| 4 + all[..n].concat().len()).collect();
        let want = |n: usize, size: u32, rows: u32| Page {
            offset: starts[n] as u64,
            length: all[n].len() as u32,
            size,
            rows,
            coding: if rows == 3 { Coding::Dictionary } else { Coding::Plain },
        };
        let found = walked(&all, 4).unwrap();
        assert_eq!(found.dictionary, Some(want(0, 40, 2)));
        assert_eq!(found.data, [want(1, 90, 3), want(4, 20, 1)]);
        // What follows the last row is not looked at.
        assert_eq!(walked(&all, 3).unwrap().data.len(), 1);
    }

    #[test]
    fn hostile_pages_are_refused() {
        let cut = |mut page: Vec<u8>| {
            page.truncate(page.len() - 1);
            page
        };
        // A page without anything of its own type.
        let bare = |kind: i64| structure(&[int(1, kind), int(2, 0), int(3, 0)]);
        for (pages, rows, reason) in [
            (vec![], 1, "expected pages of 1 values, found 0 values"),
            (vec![page(DATA, 9, 9, 2)], 1, "found 2 values or more"),
            (vec![page(DATA, 9, 9, 2)], 3, "expected pages of 3 values, found 2 values"),
            (vec![page(DATA, 9, 9, -1)], 3, "a page of type 0 at 4"),
            (vec![page(DATA, 9, 9, 7)], 7, "found another encoding"),
            (vec![page(9, 9, 9, 1)], 3, "found one of several types of pages"),
            (vec![bare(9)], 3, "a page of type 9 at 4"),
            (vec![bare(DATA)], 3, "a page of type 0 at 4"),
            (vec![page(DATA, 9, 9, 1), page(DICTIONARY, 9, 9, 1)], 3, "a page of type 2"),
            (vec![page(DICTIONARY, 400, 9, 101)], 200, "a dictionary of 101 values in 400 bytes"),
            (vec![page(DICTIONARY, 400, 9, 4)], 3, "a dictionary of 4 values in 400 bytes"),
            (vec![page(DICTIONARY, 400, 9, i64::from(i32::MAX))], 3, "a dictionary of 2147483647 values"),
            (vec![cut(page(DATA, 9, 9, 1))], 1, "a page within its column"),
            (vec![page(DATA, -5, 9, 1)], 1, "a page within its column"),
            (vec![page(DATA, 1 << 30, 9, 1)], 1, "needs 1073741824 bytes, the limit is 536870912"),
            (vec![page(DATA, 17 << 20, 9, 1)], 1, "unpacks to 17825792 bytes"),
            (vec![vec![0xff; 3000]], 1, "the header of a page at 4"),
        ] {
            let error = walked(&pages, rows).unwrap_err().to_string();
            assert!(error.contains(reason), "{error:?} lacks {reason:?}");
        }
    }
}
