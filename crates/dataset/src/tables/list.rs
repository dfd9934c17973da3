//! Lists the images of Parquet files: one file or all of a folder, in the order of their names.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::columns::Column;
use super::footer;
use super::groups::Group;
use super::page::{self, Page, Pages};
use super::page_header::Coding;
use super::{ImageGroup, Index, Place, Stored, Tables, decode};
use crate::error::DatasetError;
use crate::handles::Handles;
use crate::labels::{Labels, check_labels, label_range};
use crate::limits::Inflation;
use crate::options::OpenOptions;
use crate::shard_names::{choose, in_folder};
use crate::shards::Shard;
use crate::split::Split;

/// What the names of the files end with.
pub(crate) const ENDING: &str = "parquet";

/// Whether pages can be decompressed.
const BUILT: bool = cfg!(feature = "parquet");

/// What the files of a set hold.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) tables: Tables,
    pub(crate) class_names: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Lists the images of a file or of a folder of files.
///
/// # Errors
/// [`DatasetError::NoParquet`] in a build without the feature; any error in a file.
pub(crate) fn list(path: &Path, part: Option<Split>, options: &OpenOptions) -> Result<Listed, DatasetError> {
    let name = path.display().to_string();
    if !BUILT {
        return Err(DatasetError::NoParquet { file: name });
    }
    let chosen = choose(&name, paths(path)?, part)?;
    if let Some(asked) = part.filter(|_| !chosen.decided) {
        return Err(DatasetError::NoPart { file: name, asked, found: Vec::new() });
    }
    let mut gather = Gather { inflation: options.inflation(), ..Gather::default() };
    let (mut files, handles) = (Vec::with_capacity(chosen.shards.len()), Handles::new());
    for (number, path) in chosen.shards.iter().enumerate() {
        let (shard, file) = Shard::open(path, number, &handles)?;
        gather.file(&path.display().to_string(), &file, shard.length, number as u32)?;
        files.push(shard);
    }
    let Gather { index, labels, labelled, wrong_label, .. } = gather;
    if index.rows == 0 {
        let hint = format!(" in {}", files::counted(files.len(), "Parquet file"));
        return Err(DatasetError::Empty { file: name, hint });
    }
    let (expected, got) = (index.rows as usize, labels.len());
    let read = match wrong_label {
        Some(error) => Err(error),
        None if expected != got => Err(DatasetError::LabelCount { file: name.clone(), expected, got }),
        None => check_labels(&name, labels),
    };
    let tables = Tables::new(files, index);
    let mut notes = Vec::from_iter(chosen.note);
    if !labelled {
        return Ok(Listed { tables, class_names: Vec::new(), notes });
    }
    let Labels { labels, class_names, note } = Labels::new(&name, read, options.labels_required)?;
    notes.extend(note);
    Ok(Listed { tables: Tables { labels, ..tables }, class_names, notes })
}

fn paths(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let none = || DatasetError::Empty { file: path.display().to_string(), hint: String::new() };
    in_folder(path, ENDING)?.ok_or_else(none)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Gather {
    inflation: Inflation,
    index: Index,
    labels: Vec<u32>,
    /// Whether a file has a column of labels.
    labelled: bool,
    /// Why the labels cannot be used.
    wrong_label: Option<DatasetError>,
}

impl Gather {
    fn file(&mut self, name: &str, file: &File, length: u64, number: u32) -> Result<(), DatasetError> {
        let footer = footer::read(name, file, length)?;
        self.index.starts.push(self.index.rows);
        self.labelled |= footer.label.is_some();
        for group in &footer.groups {
            let images = page::walk(name, file, group.images, group.rows, self.inflation)?;
            self.images(name, &footer.image, group, images, number)?;
            if let Some(column) = &footer.label
                && self.wrong_label.is_none()
                && let Err(error) = self.read_labels(name, file, column, group)
            {
                self.wrong_label = Some(error);
            }
        }
        Ok(())
    }

    fn images(
        &mut self,
        name: &str,
        column: &Column,
        group: &Group,
        pages: Pages,
        number: u32,
    ) -> Result<(), DatasetError> {
        let Pages { dictionary, data } = pages;
        let index = &mut self.index;
        let (group_number, mut first) = (index.groups.len() as u32, index.rows);
        index.rows = first.checked_add(group.rows).ok_or_else(|| {
            DatasetError::unsuitable(name, format!("at most {} images", u32::MAX), "more".to_owned())
        })?;
        let (codec, optional) = (group.images.codec, column.optional);
        index.groups.push(ImageGroup { file: number, codec, optional, dictionary });
        for page in data {
            if page.coding == Coding::Delta {
                let expected = "images that are plain or in a dictionary";
                return Err(DatasetError::unsuitable(name, expected, "differences"));
            }
            index.places.push(Place { group: group_number, first, page });
            first += page.rows;
        }
        Ok(())
    }

    fn read_labels(
        &mut self,
        name: &str,
        file: &File,
        column: &Column,
        group: &Group,
    ) -> Result<(), DatasetError> {
        column.check_label(name)?;
        // A group without them is counted at the end.
        let Some(chunk) = group.labels else { return Ok(()) };
        let Pages { dictionary, data } = page::walk(name, file, chunk, group.rows, self.inflation)?;
        for page in data {
            let dictionary = dictionary.filter(|_| page.coding == Coding::Dictionary);
            let mut bytes = Vec::new();
            for part in dictionary.iter().chain([&page]) {
                bytes.extend(bytes_of(name, file, part)?);
            }
            let stored = Stored {
                codec: chunk.codec,
                optional: column.optional,
                dictionary: dictionary.map_or(0, |page| page.length),
                rows: page.rows,
            };
            let damaged = |reason: String| DatasetError::malformed(name, super::FORMAT, "labels", reason);
            for label in decode::labels(bytes, stored, column.physical).map_err(damaged)? {
                let label = label.ok_or_else(|| {
                    DatasetError::unsuitable(name, "a label for every image", "an empty value")
                })?;
                self.labels.push(u32::try_from(label).map_err(|_| label_range(name, label))?);
            }
        }
        Ok(())
    }
}

fn bytes_of(name: &str, file: &File, page: &Page) -> Result<Vec<u8>, DatasetError> {
    let mut bytes = vec![0; page.length as usize];
    crate::store::read_at(file, page.offset, &mut bytes)
        .map_err(|e| DatasetError::io(Path::new(name), "read", e))?;
    Ok(bytes)
}
