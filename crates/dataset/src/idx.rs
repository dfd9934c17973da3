//! Parses IDX files of bytes, the format of MNIST and Fashion-MNIST, gzipped or not.
//!
//! `00 00 08 d`, then `d` big-endian u32 extents, then the bytes in C order.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ndarray::{ArrayD, IxDyn};

use crate::error::DatasetError;
use crate::limits::{Inflation, MAX_FILE, check_size, checked_product, open_regular};

const FORMAT: &str = "IDX";
/// Element type u8, the only one that images and labels use.
const TYPE_U8: u8 = 8;
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether these first bytes belong to an IDX file of u8, or to any gzip file.
pub(crate) fn looks_like_idx(start: &[u8]) -> bool {
    start.starts_with(&GZIP_MAGIC) || matches!(start, [0, 0, TYPE_U8, 1..=4, ..])
}

/// Parses an IDX file of u8 with 1 to 4 dimensions; gzip is recognised by its magic. `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Malformed`]; [`DatasetError::Inflates`] if it would inflate to more than 16 MiB and 200 times its
/// compressed size. Both are checked before anything of the claimed size is allocated.
///
/// ```
/// let labels = dataset::parse_idx("labels", &[0, 0, 8, 1, 0, 0, 0, 2, 7, 9])?;
/// assert_eq!(labels, ndarray::array![7, 9].into_dyn());
/// # Ok::<(), dataset::DatasetError>(())
/// ```
pub fn parse_idx(name: &str, bytes: &[u8]) -> Result<ArrayD<u8>, DatasetError> {
    parse_within(name, bytes, bytes.len() as u64, Inflation::default())
}

/// Like [`parse_idx`] for a file, which is read while it is parsed. `inflation` limits the size of a gzipped file.
pub(crate) fn read_idx(path: &Path, inflation: Inflation) -> Result<ArrayD<u8>, DatasetError> {
    let (file, length) = open_regular(path)?;
    parse_within(&path.display().to_string(), BufReader::new(file), length, inflation)
}

/// Parses what a reader of `length` bytes gives.
fn parse_within(
    name: &str,
    mut reader: impl BufRead,
    length: u64,
    inflation: Inflation,
) -> Result<ArrayD<u8>, DatasetError> {
    let start = reader.fill_buf().map_err(|e| unreadable(name, &e))?;
    if start.starts_with(&GZIP_MAGIC) {
        let check = |what: &str, size| inflation.check(name, what, size, length);
        return parse(name, MultiGzDecoder::new(reader), check);
    }
    parse(name, reader, |what, size| check_size(name, what, size, MAX_FILE))
}

fn parse(
    name: &str,
    mut reader: impl Read,
    check: impl Fn(&str, u64) -> Result<(), DatasetError>,
) -> Result<ArrayD<u8>, DatasetError> {
    let magic = take(name, &mut reader, 4, "the magic")?;
    let dimensions = match magic[..] {
        [0, 0, TYPE_U8, d @ 1..=4] => usize::from(d),
        _ => {
            let expected = "the magic 00 00 08 01 (labels) to 00 00 08 04";
            let found = format!("{:02x} {:02x} {:02x} {:02x}", magic[0], magic[1], magic[2], magic[3]);
            return Err(DatasetError::malformed(name, FORMAT, expected, found));
        }
    };
    let extents = take(name, &mut reader, 4 * dimensions, "the extents")?;
    let shape: Vec<u64> =
        extents.chunks_exact(4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))).collect();
    let Some(size) = checked_product(&shape) else {
        return Err(DatasetError::malformed(name, FORMAT, "a size below 2^63", format!("shape {shape:?}")));
    };
    let what = format!("shape {shape:?}");
    check(&what, size as u64)?;
    let data = take(name, &mut reader, size, &what)?;
    if !take_up_to(name, &mut reader, 1)?.is_empty() {
        let expected = format!("the end after {} of {what}", files::counted(size, "byte"));
        return Err(DatasetError::malformed(name, FORMAT, expected, "more bytes"));
    }
    let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), data)
        .map_err(|e| DatasetError::malformed(name, FORMAT, what, e.to_string()))
}

fn take(name: &str, reader: &mut impl Read, count: usize, what: &str) -> Result<Vec<u8>, DatasetError> {
    let bytes = take_up_to(name, reader, count as u64)?;
    if bytes.len() < count {
        let found = format!("the end after {}", bytes.len());
        return Err(DatasetError::malformed(
            name,
            FORMAT,
            format!("{} of {what}", files::counted(count, "byte")),
            found,
        ));
    }
    Ok(bytes)
}

/// The vector grows with the data that is there, not with the claimed size.
fn take_up_to(name: &str, reader: &mut impl Read, count: u64) -> Result<Vec<u8>, DatasetError> {
    let mut bytes = Vec::new();
    let read = reader.take(count).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(name, &e))?;
    Ok(bytes)
}

fn unreadable(name: &str, error: &io::Error) -> DatasetError {
    DatasetError::malformed(name, FORMAT, "intact data", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn one_to_four_dimensions_gzipped_or_not() {
        let data: Vec<u8> = (0..24).collect();
        for shape in [vec![24], vec![4, 6], vec![2, 3, 4], vec![2, 2, 2, 3]] {
            let plain = idx(&shape, &data);
            let array = parse_idx("a", &plain).unwrap();
            assert!(array.shape().iter().map(|&n| n as u32).eq(shape));
            assert!(array.iter().eq(&data));
            assert_eq!(parse_idx("a", &gz(&plain)).unwrap(), array);
        }
    }

    #[test]
    fn malformed_files_are_refused() {
        let good = idx(&[2, 2], &[1, 2, 3, 4]);
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "4 bytes of the magic, found the end after 0"),
            (good[..7].to_vec(), "8 bytes of the extents, found the end after 3"),
            (good[..15].to_vec(), "4 bytes of shape [2, 2], found the end after 3"),
            ([good.as_slice(), &[0]].concat(), "found more bytes"),
            (idx(&[1 << 31, 2], &[0; 4]), "4294967296 bytes of shape [2147483648, 2], found the end after 4"),
            (
                idx(&[1 << 31, 16], &[0; 4]),
                "shape [2147483648, 16] needs 34359738368 bytes, the limit is 17179869184",
            ),
            (idx(&[u32::MAX; 4], &[]), "a size below 2^63"),
            (vec![0, 0, 8, 5, 0, 0, 0, 0], "00 00 08 05"),
            (vec![0, 0, 13, 1, 0, 0, 0, 0], "00 00 0d 01"),
            (gz(&good)[..20].to_vec(), "expected"),
            (gz(b"hello, world"), "68 65 6c 6c"),
        ];
        for (bytes, text) in cases {
            let error = parse_idx("a.idx", &bytes).unwrap_err().to_string();
            assert!(error.starts_with("a.idx") && error.contains(text), "{error:?} lacks {text:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_inflated() {
        let bomb = gz(&idx(&[20 << 20], &vec![0; 20 << 20]));
        assert!(bomb.len() < 1 << 20);
        let error = parse_idx("a", &bomb).unwrap_err();
        assert!(matches!(error, DatasetError::Inflates { needed: 20_971_520, .. }), "{error}");
        // A small claim followed by a lot of data stops at the claimed size.
        let long = gz(&idx(&[4], &vec![0; 20 << 20]));
        assert!(parse_idx("a", &long).unwrap_err().to_string().contains("more bytes"));
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_idx("a", &bytes);
            let _ = parse_idx("a", &[&[0, 0, 8, 3][..], &bytes].concat());
            let _ = parse_idx("a", &[&GZIP_MAGIC[..], &bytes].concat());
        }
    }
}
