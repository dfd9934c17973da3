//! Row groups of a Parquet file: where the images and labels of each are.

use super::FORMAT;
use super::columns::Chosen;
use super::thrift::Reader;
use crate::error::DatasetError;

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Snappy,
    Zstd,
}

/// Where the values of a column are in a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) codec: Codec,
}

/// A row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) rows: u32,
    pub(super) images: Chunk,
    pub(super) labels: Option<Chunk>,
}

/// A row group; the inner error is that of a group that follows the format and cannot be used.
pub(super) fn read(
    name: &str,
    reader: &mut Reader<'_>,
    columns: &Chosen,
    data_end: u64,
) -> Option<Result<Group, DatasetError>> {
    let (mut rows, mut count) = (0, 0);
    let (mut images, mut labels) = (None, None);
    reader.structure(&mut |reader, field, kind| {
        match field {
            1 => reader.structures(kind, &mut |reader, _| {
                let wanted = [Some(columns.image.0), columns.label.as_ref().map(|label| label.0)];
                let claims = chunk(reader)?;
                if wanted[0] == Some(count) {
                    images = Some(claims);
                } else if wanted[1] == Some(count) {
                    labels = Some(claims);
                }
                count += 1;
                Some(())
            })?,
            3 => rows = reader.integer(kind)?,
            _ => reader.skip(kind)?,
        }
        Some(())
    })?;
    if count != columns.count {
        return None;
    }
    let rows = u32::try_from(rows).ok()?;
    let settle = |claims: Claims| claims.settle(name, rows, data_end);
    let images = match settle(images?) {
        Ok(images) => images,
        Err(error) => return Some(Err(error)),
    };
    let labels = match labels.map(settle).transpose() {
        Ok(labels) => labels,
        Err(error) => return Some(Err(error)),
    };
    // An encoded image takes more than this, so a small file cannot claim many rows.
    if u64::from(rows) > (images.end - images.start) / 4 {
        let found = format!("{rows} rows in {} bytes", images.end - images.start);
        return Some(Err(DatasetError::unsuitable(name, "4 bytes or more per image", found)));
    }
    Some(Ok(Group { rows, images, labels }))
}

/// Checks that no bytes belong to two chunks; otherwise each of many groups could stand for all pages of a file.
///
/// # Errors
/// [`DatasetError::Malformed`].
pub(super) fn check_apart(name: &str, groups: &[Group]) -> Result<(), DatasetError> {
    // Nothing is read of groups without rows.
    let read = groups.iter().filter(|group| group.rows > 0);
    let mut chunks: Vec<(u64, u64)> = read
        .flat_map(|group| [Some(group.images), group.labels])
        .flatten()
        .map(|chunk| (chunk.start, chunk.end))
        .collect();
    chunks.sort_unstable();
    match chunks.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => {
            let found = format!("one up to byte {} and one from byte {}", pair[0].1, pair[1].0);
            Err(DatasetError::malformed(name, FORMAT, "column chunks that do not overlap", found))
        }
        None => Ok(()),
    }
}

/// What the footer claims of a column chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Claims {
    elsewhere: bool,
    codec: i64,
    values: i64,
    size: i64,
    data: i64,
    dictionary: Option<i64>,
}

fn chunk(reader: &mut Reader<'_>) -> Option<Claims> {
    let mut claims = Claims { codec: -1, values: -1, size: -1, data: -1, ..Claims::default() };
    reader.structure(&mut |reader, field, kind| match field {
        1 => {
            claims.elsewhere = true;
            reader.skip(kind)
        }
        3 if Reader::is_structure(kind) => reader.structure(&mut |reader, field, kind| {
            match field {
                4 => claims.codec = reader.integer(kind)?,
                5 => claims.values = reader.integer(kind)?,
                7 => claims.size = reader.integer(kind)?,
                9 => claims.data = reader.integer(kind)?,
                11 => claims.dictionary = Some(reader.integer(kind)?),
                _ => reader.skip(kind)?,
            }
            Some(())
        }),
        _ => reader.skip(kind),
    })?;
    Some(claims)
}

impl Claims {
    /// Checks that the chunk has a value per row and lies before `data_end`.
    fn settle(self, name: &str, rows: u32, data_end: u64) -> Result<Chunk, DatasetError> {
        let codec = match self.codec {
            0 => Codec::None,
            1 => Codec::Snappy,
            6 => Codec::Zstd,
            other => {
                let known = ["", "", "gzip", "LZO", "brotli", "LZ4", "", "LZ4"];
                let found =
                    usize::try_from(other).ok().and_then(|other| known.get(other)).filter(|n| !n.is_empty());
                let found =
                    found.map_or_else(|| format!("codec {other}"), |name| format!("{name} compression"));
                return Err(DatasetError::unsuitable(
                    name,
                    "pages with snappy, zstd or no compression",
                    found,
                ));
            }
        };
        if self.elsewhere {
            return Err(DatasetError::unsuitable(
                name,
                "columns in the same file",
                "a column in another file",
            ));
        }
        if self.values != i64::from(rows) {
            let found = format!("{} values in {rows} rows", self.values);
            return Err(DatasetError::malformed(name, FORMAT, "one value per row", found));
        }
        // Some writers give 0 where there is no dictionary.
        let start = self.dictionary.filter(|&at| at > 0).unwrap_or(self.data).min(self.data);
        let span = u64::try_from(start).ok().zip(u64::try_from(self.size).ok());
        let span = span.and_then(|(start, size)| Some((start, start.checked_add(size)?)));
        match span.filter(|&(start, end)| start >= 4 && end <= data_end) {
            Some((start, end)) => Ok(Chunk { start, end, codec }),
            None => {
                let found = format!("{} bytes at {start}", self.size);
                Err(DatasetError::malformed(name, FORMAT, format!("columns before {data_end}"), found))
            }
        }
    }
}
