//! Reads all headers of a Parquet file and nothing else, so it needs no feature.

use super::footer;
use super::input::Input;
use super::page::{self, Page, Pages};
use crate::error::DatasetError;
use crate::limits::Inflation;

/// What the headers of a Parquet file say; see [`parquet_headers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetHeaders {
    /// Rows of all row groups.
    pub rows: u64,
    /// Pages of images, in the order of the rows; a dictionary comes before the pages of its row group. Pages without rows
    /// are left out.
    pub images: Vec<ParquetPage>,
    /// The same of labels; empty without a column of labels.
    pub labels: Vec<ParquetPage>,
}

/// A page of a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetPage {
    /// Its position in the file.
    pub offset: u64,
    /// Its bytes in the file, with its header.
    pub length: u32,
    /// Its bytes once it is decompressed.
    pub unpacked: u32,
    /// How many values it has.
    pub values: u32,
    /// Whether it has a dictionary, not values of rows.
    pub dictionary: bool,
}

/// Reads the headers of a Parquet file, and decompresses nothing. `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Malformed`]; [`DatasetError::Unsuitable`] without a column of images, or with a codec or an encoding
/// that is not read; [`DatasetError::TooLarge`] or [`DatasetError::Inflates`] for a page that is not read.
///
/// ```
/// let error = dataset::parquet_headers("a", b"PAR1\xff\xff\xff\xffPAR1").unwrap_err();
/// assert!(error.to_string().contains("expected a footer within the file"));
/// ```
pub fn parquet_headers(name: &str, bytes: &[u8]) -> Result<ParquetHeaders, DatasetError> {
    let file: &dyn Input = &bytes;
    let footer = footer::read(name, file, bytes.len() as u64)?;
    let mut headers = ParquetHeaders { rows: 0, images: Vec::new(), labels: Vec::new() };
    for group in &footer.groups {
        headers.rows += u64::from(group.rows);
        let walk = |chunk| page::walk(name, file, chunk, group.rows, Inflation::default());
        headers.images.extend(listed(walk(group.images)?));
        if let Some(labels) = group.labels {
            headers.labels.extend(listed(walk(labels)?));
        }
    }
    Ok(headers)
}

fn listed(pages: Pages) -> impl Iterator<Item = ParquetPage> {
    let one = |dictionary: bool| {
        move |Page { offset, length, size, rows, .. }| ParquetPage {
            offset,
            length,
            unpacked: size,
            values: rows,
            dictionary,
        }
    };
    pages.dictionary.into_iter().map(one(true)).chain(pages.data.into_iter().map(one(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of pyarrow: scripts/make_parquet_goldens.py.
    #[test]
    fn headers_of_pyarrow() {
        for (name, rows, groups) in [("struct-snappy.parquet", 10, 3), ("binary-zstd.parquet", 10, 1)] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name);
            let found = parquet_headers(name, &std::fs::read(path).unwrap()).unwrap();
            assert_eq!(found.rows, rows);
            for pages in [&found.images, &found.labels] {
                let values = |dictionary: bool| {
                    let of = pages.iter().filter(move |page| page.dictionary == dictionary);
                    of.map(|page| u64::from(page.values)).collect::<Vec<_>>()
                };
                assert_eq!(values(false).iter().sum::<u64>(), rows);
                assert!(pages.len() >= groups && values(true).len() <= groups, "{pages:?}");
                assert!(pages.is_sorted_by(|a, b| a.offset + u64::from(a.length) <= b.offset), "{pages:?}");
            }
        }
    }
}
