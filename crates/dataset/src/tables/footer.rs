//! Reads the footer of a Parquet file (<https://github.com/apache/parquet-format>): which columns it has, and where the
//! images and labels of each row group are.
//!
//! The file ends with the footer, its length in 4 bytes, and `PAR1`. Numbers of fields are those of `parquet.thrift`.

use std::fs::File;

use super::FORMAT;
use super::thrift::Reader;
use crate::error::DatasetError;
use crate::limits::check_size;
use crate::store::read_at;

/// First and last bytes of a file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// The same if the footer is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// Maximum size of a footer in bytes: some 100,000 row groups.
const MAX_FOOTER: u64 = 64 << 20;
/// Maximum number of columns and groups of columns.
const MAX_COLUMNS: usize = 10_000;
/// Maximum nesting of columns.
const MAX_NESTING: usize = 16;
/// Bytes of a column's name that are kept.
const MAX_NAME: usize = 80;
/// Columns that a message lists.
const SHOWN: usize = 20;

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Physical {
    Int32,
    Int64,
    Bytes,
    Other,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Snappy,
    Zstd,
}

/// A column of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name, with the names of the groups that hold it.
    path: Vec<String>,
    pub(super) physical: Physical,
    /// How many of the levels of its path may be missing.
    pub(super) optional: u8,
    /// Whether a row may have several values.
    repeated: bool,
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

/// What a footer says of images and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) image: Column,
    pub(super) label: Option<Column>,
    pub(super) groups: Vec<Group>,
}

/// Reads the footer of a file of `length` bytes.
///
/// # Errors
/// [`DatasetError::Malformed`]; [`DatasetError::TooLarge`]; [`DatasetError::Unsuitable`] without a column of images, or
/// with a codec that is not read.
pub(super) fn read(name: &str, file: &File, length: u64) -> Result<Footer, DatasetError> {
    let wrong = |expected: &str, found: String| DatasetError::malformed(name, FORMAT, expected, found);
    let mut end = [0; 8];
    let tail = length.checked_sub(8).filter(|&tail| tail >= 4);
    let tail = tail.ok_or_else(|| wrong("12 bytes or more", length.to_string()))?;
    let damaged = |e: std::io::Error| wrong("a footer", e.to_string());
    read_at(file, tail, &mut end).map_err(damaged)?;
    if end[4..] == *ENCRYPTED {
        return Err(DatasetError::unsuitable(name, "a footer in plain text", "an encrypted one"));
    }
    if end[4..] != *MAGIC {
        return Err(wrong("PAR1 at the end", format!("{:02x?}", &end[4..])));
    }
    let size = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let start = tail.checked_sub(size).filter(|&start| start >= 4);
    let start = start.ok_or_else(|| wrong("a footer within the file", format!("one of {size} bytes")))?;
    check_size(name, "the footer", size, MAX_FOOTER)?;
    let mut bytes = vec![0; size as usize];
    read_at(file, start, &mut bytes).map_err(damaged)?;
    parse(name, &bytes, start)
}

/// Parses a footer; the pages of the file end at `data_end`.
fn parse(name: &str, bytes: &[u8], data_end: u64) -> Result<Footer, DatasetError> {
    // Until there are columns: why they cannot be used, or nothing.
    let mut columns: Result<Chosen, Option<DatasetError>> = Err(None);
    let mut groups = Vec::new();
    let mut failed = None;
    let mut reader = Reader::new(bytes);
    let done = reader.structure(&mut |reader, field, kind| match field {
        2 => {
            let mut elements = Vec::new();
            reader.structures(kind, &mut |reader, count| {
                elements.push(element(reader)?);
                (count <= MAX_COLUMNS).then_some(())
            })?;
            columns = leaves(&elements).ok_or(None).and_then(|leaves| chosen(name, leaves).map_err(Some));
            Some(())
        }
        4 => {
            // The columns come first, and those that are not needed are passed over.
            let Ok(columns) = &columns else { return None };
            reader.structures(kind, &mut |reader, _| {
                match row_group(name, reader, columns, data_end)? {
                    Ok(group) => groups.push(group),
                    Err(error) => failed = failed.take().or(Some(error)),
                }
                Some(())
            })
        }
        _ => reader.skip(kind),
    });
    let broken = || {
        let found = format!("other bytes at {} of {}", reader.position(), bytes.len());
        DatasetError::malformed(name, FORMAT, "a footer with columns and row groups", found)
    };
    if let Some(error) = failed {
        return Err(error);
    }
    let columns = columns.map_err(|error| error.unwrap_or_else(broken))?;
    done.ok_or_else(broken)?;
    let Chosen { image, label, .. } = columns;
    Ok(Footer { image: image.1, label: label.map(|(_, label)| label), groups })
}

/// A column or a group of columns.
#[derive(Debug)]
struct Element {
    name: String,
    physical: Physical,
    repetition: i64,
    children: usize,
}

fn element(reader: &mut Reader<'_>) -> Option<Element> {
    let mut element = Element { name: String::new(), physical: Physical::Other, repetition: 0, children: 0 };
    reader.structure(&mut |reader, field, kind| {
        match field {
            1 => {
                element.physical = match reader.integer(kind)? {
                    1 => Physical::Int32,
                    2 => Physical::Int64,
                    6 => Physical::Bytes,
                    _ => Physical::Other,
                }
            }
            3 => element.repetition = reader.integer(kind)?,
            4 => {
                let text = reader.text(kind)?;
                element.name = String::from_utf8_lossy(&text[..text.len().min(MAX_NAME)]).into_owned();
            }
            5 => element.children = usize::try_from(reader.integer(kind)?).ok()?,
            _ => reader.skip(kind)?,
        }
        Some(())
    })?;
    Some(element)
}

/// The columns of values, in the order of their chunks. The elements are a tree, each before its children.
fn leaves(elements: &[Element]) -> Option<Vec<Column>> {
    let (root, rest) = elements.split_first()?;
    let mut leaves = Vec::new();
    // Groups that lack this many children.
    let mut open = vec![root.children];
    let mut path: Vec<&Element> = Vec::new();
    for element in rest {
        while open.last() == Some(&0) {
            open.pop();
            path.pop();
        }
        *open.last_mut()? -= 1;
        path.push(element);
        if element.children > 0 {
            open.push(element.children);
            (open.len() <= MAX_NESTING).then_some(())?;
            continue;
        }
        leaves.push(Column {
            path: path.iter().map(|element| element.name.clone()).collect(),
            physical: element.physical,
            optional: path.iter().filter(|element| element.repetition == 1).count() as u8,
            repeated: path.iter().any(|element| element.repetition == 2),
        });
        path.pop();
    }
    open.iter().all(|&missing| missing == 0).then_some(leaves)
}

/// The columns of images and labels with their numbers, out of `count`.
#[derive(Debug)]
struct Chosen {
    image: (usize, Column),
    label: Option<(usize, Column)>,
    count: usize,
}

/// Finds `image`, binary or a structure with `bytes`, and `label` or `cls`.
fn chosen(name: &str, leaves: Vec<Column>) -> Result<Chosen, DatasetError> {
    let at = |path: &[&str]| leaves.iter().position(|column| column.path == path);
    let image = at(&["image", "bytes"]).or_else(|| at(&["image"]));
    let usable = |&index: &usize| leaves[index].physical == Physical::Bytes && !leaves[index].repeated;
    let Some(image) = image.filter(usable) else {
        let expected = "a column image of encoded images, binary or a structure with bytes";
        return Err(DatasetError::unsuitable(name, expected, told(&leaves)));
    };
    let label = at(&["label"]).or_else(|| at(&["cls"]));
    let with = |index: usize| (index, leaves[index].clone());
    Ok(Chosen { image: with(image), label: label.map(with), count: leaves.len() })
}

/// The columns in words.
fn told(leaves: &[Column]) -> String {
    let one = |column: &Column| {
        let kind = match column.physical {
            Physical::Int32 => "int32",
            Physical::Int64 => "int64",
            Physical::Bytes => "binary",
            Physical::Other => "other",
        };
        let several = if column.repeated { ", repeated" } else { "" };
        format!("{} ({kind}{several})", column.path.join("."))
    };
    match leaves.len() {
        0 => "no columns".to_owned(),
        count => {
            let shown: Vec<String> = leaves.iter().take(SHOWN).map(one).collect();
            let more = if count > SHOWN { ", ..." } else { "" };
            let noun = if count == 1 { "column" } else { "columns" };
            format!("the {noun} {}{more}", shown.join(", "))
        }
    }
}

impl Column {
    /// [`DatasetError::Unsuitable`] unless the column has one whole number per row.
    pub(super) fn check_label(&self, name: &str) -> Result<(), DatasetError> {
        if matches!(self.physical, Physical::Int32 | Physical::Int64) && !self.repeated {
            return Ok(());
        }
        let expected = "labels of type int32 or int64";
        Err(DatasetError::unsuitable(name, expected, told(std::slice::from_ref(self))))
    }
}

/// A row group; the inner error is that of a group that follows the format and cannot be used.
fn row_group(
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
                let stored = chunk(reader)?;
                if wanted[0] == Some(count) {
                    images = Some(stored);
                } else if wanted[1] == Some(count) {
                    labels = Some(stored);
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
    let settle = |stored: Stored| stored.settle(name, rows, data_end);
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

/// A column chunk as the footer has it.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    elsewhere: bool,
    codec: i64,
    values: i64,
    size: i64,
    data: i64,
    dictionary: Option<i64>,
}

fn chunk(reader: &mut Reader<'_>) -> Option<Stored> {
    let mut stored = Stored { codec: -1, values: -1, size: -1, data: -1, ..Stored::default() };
    reader.structure(&mut |reader, field, kind| match field {
        1 => {
            stored.elsewhere = true;
            reader.skip(kind)
        }
        3 if Reader::is_structure(kind) => reader.structure(&mut |reader, field, kind| {
            match field {
                4 => stored.codec = reader.integer(kind)?,
                5 => stored.values = reader.integer(kind)?,
                7 => stored.size = reader.integer(kind)?,
                9 => stored.data = reader.integer(kind)?,
                11 => stored.dictionary = Some(reader.integer(kind)?),
                _ => reader.skip(kind)?,
            }
            Some(())
        }),
        _ => reader.skip(kind),
    })?;
    Some(stored)
}

impl Stored {
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

#[cfg(test)]
mod tests;
