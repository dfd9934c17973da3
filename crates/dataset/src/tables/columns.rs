//! Columns of a Parquet file: its schema, and which columns have the images and labels.

use super::thrift::{Kind, Reader};
use crate::error::DatasetError;

/// Maximum number of columns and groups of columns.
pub(super) const MAX_COLUMNS: usize = 10_000;
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

/// The columns of images and labels with their numbers, out of `count`.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) image: (usize, Column),
    pub(super) label: Option<(usize, Column)>,
    pub(super) count: usize,
}

/// Reads the columns of values, in the order of their chunks.
pub(super) fn read(reader: &mut Reader<'_>, kind: Kind) -> Option<Vec<Column>> {
    let mut elements = Vec::new();
    reader.structures(kind, &mut |reader, count| {
        elements.push(element(reader)?);
        (count <= MAX_COLUMNS).then_some(())
    })?;
    leaves(&elements)
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

/// The columns of values. The elements are a tree, each before its children.
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

/// Finds `image`, binary or a structure with `bytes`, and `label` or `cls`.
pub(super) fn chosen(name: &str, leaves: Vec<Column>) -> Result<Chosen, DatasetError> {
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
