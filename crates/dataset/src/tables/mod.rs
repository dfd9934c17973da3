//! Images in Parquet files, the layout of public image sets: a column `image` with encoded images, and `label` or `cls`
//! with their classes. An index of the pages is made from headers alone; the page of an image is decompressed when it is
//! read, and a few pages are kept.
//!
//! Headers are read by our own code, which checks every claim before anything is allocated for it. The crate `parquet`
//! decompresses pages and decodes their values; without the feature of that name it is not there.

mod cache;
mod columns;
mod footer;
mod groups;
mod headers;
mod input;
mod list;
mod page;
mod page_header;
mod thrift;

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod decode;

#[cfg(not(feature = "parquet"))]
use absent as decode;

use std::sync::Arc;

pub(crate) use footer::MAGIC;
pub use headers::{ParquetHeaders, ParquetPage, parquet_headers};
pub(crate) use list::{ENDING, list};

use crate::limits::MAX_ENCODED_IMAGE;
use crate::order::Blocks;
use crate::shards::Shard;
use crate::unread::Unread;
use cache::Cache;
use decode::Rows;
use groups::Codec;
use page::Page;
use page_header::Coding;

/// For error messages.
const FORMAT: &str = "Parquet";
/// Memory of a value in a page that is kept, in bytes.
const VALUE: u64 = 48;

/// What is needed to decode a page besides its bytes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "only `decode` reads them"))]
struct Stored {
    codec: Codec,
    /// Definition level of a value that is there.
    optional: u8,
    /// Bytes of the dictionary, which come first.
    dictionary: u32,
    rows: u32,
}

/// The images of a row group.
#[derive(Debug)]
struct ImageGroup {
    file: u32,
    codec: Codec,
    optional: u8,
    dictionary: Option<Page>,
}

/// A page of images.
#[derive(Debug)]
struct Place {
    group: u32,
    /// Its first row, counted from the start of the set.
    first: u32,
    page: Page,
}

/// Where the images of a set are.
#[derive(Debug, Default)]
struct Index {
    groups: Vec<ImageGroup>,
    /// In the order of the rows.
    places: Vec<Place>,
    /// The first row of each file.
    starts: Vec<u32>,
    rows: u32,
}

/// Images in Parquet files, possibly with labels.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    files: Arc<Vec<Shard>>,
    index: Arc<Index>,
    /// The rows of the images, if not all are used.
    chosen: Option<Vec<u32>>,
    /// One per image.
    pub(crate) labels: Option<Vec<u32>>,
    cache: Arc<Cache>,
}

impl Index {
    /// The page of a row.
    fn at(&self, row: u32) -> Option<(usize, &Place)> {
        let number = self.places.partition_point(|place| place.first <= row).checked_sub(1)?;
        Some((number, self.places.get(number)?))
    }

    /// Bytes of a page in memory, with its dictionary.
    fn cost(&self, place: &Place) -> u64 {
        let dictionary = self.dictionary(place).map_or(0, |page| u64::from(page.size));
        u64::from(place.page.size) + dictionary + VALUE * u64::from(place.page.rows)
    }

    /// The dictionary of a page that needs one.
    fn dictionary(&self, place: &Place) -> Option<Page> {
        self.groups.get(place.group as usize)?.dictionary.filter(|_| place.page.coding == Coding::Dictionary)
    }
}

impl Tables {
    fn new(files: Vec<Shard>, index: Index) -> Self {
        let (files, index) = (Arc::new(files), Arc::new(index));
        Self { files, index, chosen: None, labels: None, cache: Arc::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.index.rows as usize, Vec::len)
    }

    /// The images with these indices.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        let labels = |labels: &Vec<u32>| indices.iter().filter_map(|&i| labels.get(i).copied()).collect();
        Self {
            chosen: Some(indices.iter().filter_map(|&index| self.row(index).ok()).collect()),
            labels: self.labels.as_ref().map(labels),
            ..self.clone()
        }
    }

    /// Reads an encoded image. The error gives the reason.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>, Unread> {
        let row = self.row(index)?;
        let (number, place) = self.index.at(row).ok_or("expected a page with the image, found none")?;
        let page = self.cache.page(number, self.index.cost(place), || self.decoded(place));
        let rows = page.rows()?;
        let image =
            rows.get((row - place.first) as usize).ok_or("expected an image, found an empty value")?;
        if image.len() as u64 > MAX_ENCODED_IMAGE {
            let found = format!("expected at most {MAX_ENCODED_IMAGE} bytes, found {}", image.len());
            return Err(found.into());
        }
        Ok(image.to_vec())
    }

    fn decoded(&self, place: &Place) -> Result<Rows, Unread> {
        let group = self.index.groups.get(place.group as usize).ok_or("expected a row group, found none")?;
        let file = self.files.get(group.file as usize).ok_or("expected a file, found none")?;
        let dictionary = self.index.dictionary(place);
        let mut bytes = match dictionary {
            Some(page) => file.read(page.offset, page.length as usize)?,
            None => Vec::new(),
        };
        bytes.extend(file.read(place.page.offset, place.page.length as usize)?);
        let ImageGroup { codec, optional, .. } = *group;
        let dictionary = dictionary.map_or(0, |page| page.length);
        let stored = Stored { codec, optional, dictionary, rows: place.page.rows };
        decode::images(bytes, stored).map_err(Unread::Image)
    }

    /// An image in messages: its file and its row there.
    pub(crate) fn name(&self, index: usize) -> String {
        match self.row(index).map(|row| (row, self.file(row))) {
            Ok((row, Some((number, file)))) => {
                format!("{}[row {}]", file.path.display(), row - self.index.starts[number])
            }
            Ok((row, None)) => format!("row {row}"),
            Err(reason) => reason,
        }
    }

    /// Size and time of the last change of the file that has an image.
    pub(crate) fn version(&self, index: usize) -> (u64, u128) {
        let file = self.row(index).ok().and_then(|row| self.file(row));
        file.map_or((0, 0), |(_, file)| (file.length, file.modified))
    }

    fn file(&self, row: u32) -> Option<(usize, &Shard)> {
        let number = self.index.starts.partition_point(|&start| start <= row).checked_sub(1)?;
        Some((number, self.files.get(number)?))
    }

    fn row(&self, index: usize) -> Result<u32, String> {
        let row = match &self.chosen {
            Some(chosen) => chosen.get(index).copied(),
            None => u32::try_from(index).ok().filter(|&row| row < self.index.rows),
        };
        row.ok_or_else(|| format!("expected an image below {}, found {index}", self.len()))
    }

    /// Gives texts that identify the images without their bytes.
    pub(crate) fn identify(&self, text: &mut dyn FnMut(&str)) {
        self.files.iter().for_each(|file| text(&format!("{} {}", file.name(), file.length)));
        for Place { group, first, page } in &self.index.places {
            text(&format!("{group} {first} {} {} {}", page.offset, page.length, page.rows));
        }
        text(&format!("{:?}", self.chosen.as_ref().map(Vec::len)));
        self.chosen.iter().flatten().for_each(|row| text(&row.to_string()));
        self.labels.iter().flatten().for_each(|label| text(&label.to_string()));
    }

    /// Keeps the pages that a group of `buffer` images needs, within `memory` bytes, and returns whether they fit.
    pub(crate) fn keep_groups(&self, buffer: usize, memory: u64) -> bool {
        let blocks = Blocks::of(buffer);
        let mut largest = 0;
        let mut first = 0;
        while first < self.len() {
            let last = self.len().min(first + blocks.images as usize) - 1;
            largest = self.span(first, last).max(largest);
            first = last + 1;
        }
        // A small set has fewer blocks than a group.
        let in_group = blocks.in_group.min(self.len().div_ceil(blocks.images as usize) as u64);
        let needed = largest.saturating_mul(in_group);
        self.cache.limit_to(needed.min(memory));
        needed <= memory
    }

    /// Bytes of the pages from one image to another.
    fn span(&self, first: usize, last: usize) -> u64 {
        let page = |index: usize| self.row(index).ok().and_then(|row| Some(self.index.at(row)?.0));
        let (Some(first), Some(last)) = (page(first), page(last)) else { return 0 };
        let places = self.index.places.get(first..=last).unwrap_or_default();
        places.iter().map(|place| self.index.cost(place)).sum()
    }

    /// Bytes of pages in memory, or about to be read.
    pub(crate) fn held(&self) -> u64 {
        self.cache.held()
    }
}
