//! Sets that are larger than memory: each image is decoded when it is read, and only the index stays in memory.

use std::path::Path;

use files::AvailableMemory;
use rayon::prelude::*;

use crate::block_buffer::BlockBuffer;
use crate::decode::dimensions;
use crate::encoded::Encoded;
use crate::error::DatasetError;
use crate::items::Items;
use crate::options::{OnBad, OpenOptions};
use crate::order::Order;
use crate::store::{Decoder, Store};
use crate::tables::Tables;
use crate::unread::Unread;

/// Images that are checked when a set is opened.
const PROBED: usize = 64;
/// Memory for images where the system does not say how much there is.
const UNKNOWN: u64 = 4 << 30;

/// Why a set is not decoded as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Bytes that the decoded images would take.
    bytes: u64,
    limit: u64,
}

/// Whether a set has to be streamed. If the first images cannot be read, it is not: then the error lists all such images.
pub(crate) fn need(encoded: &Encoded, options: &OpenOptions) -> Option<Need> {
    let half = || AvailableMemory::now().map_or(UNKNOWN, |available| available.bytes / 2);
    let limit = options.keep_limit.unwrap_or_else(half);
    let area = match options.size {
        Some(size) => size.height as u64 * size.width as u64,
        None => {
            let first =
                encoded.spread(PROBED).into_iter().find_map(|i| dimensions(&encoded.read(i).ok()?).ok());
            first.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
        }
    };
    let channels = options.channels.unwrap_or(3) as u64;
    let bytes = area.saturating_mul(channels).saturating_mul(encoded.len() as u64);
    (bytes > limit).then_some(Need { bytes, limit })
}

/// Opens a set after checking some of its images. `items` has its classes, notes and identity.
pub(crate) fn open(
    root: &Path,
    mut encoded: Encoded,
    mut items: Items,
    need: Need,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let name = root.display().to_string();
    if options.on_bad == OnBad::Skip {
        let (needed, limit) = (need.bytes, need.limit);
        return Err(DatasetError::NeedsMemory {
            file: name,
            what: "leaving out unreadable images",
            needed,
            limit,
        });
    }
    let (height, width) = probe(&name, &encoded, options)?;
    let channels = options.channels.unwrap_or(3);
    items.notes.push(format!(
        "the decoded images would take {} MiB and {} MiB may be kept, so each image is decoded when it is needed",
        need.bytes.div_ceil(1 << 20),
        need.limit >> 20
    ));
    if options.size.is_none() && encoded.len() > PROBED {
        items.notes.push(format!("only {PROBED} images were checked for their size, {width}x{height}"));
    }
    if options.channels.is_none() {
        items.notes.push("the images are read as colour, because not all of them were checked".to_owned());
    }
    let buffer = match (&encoded, options.order) {
        (Encoded::Shards(shards), Order::Blocks { buffer }) => {
            let blocks = BlockBuffer::new(shards, buffer, need.limit);
            if blocks.is_none() {
                let (images, limit) = (buffer.min(shards.len()), need.limit >> 20);
                items.notes.push(format!(
                    "blocks of images are not kept: {images} encoded images take more than {limit} MiB, or are far apart"
                ));
            }
            blocks
        }
        (Encoded::Tables(tables), order) => {
            items.notes.extend(pages_note(tables, order, need.limit));
            None
        }
        _ => None,
    };
    let labels = (!items.class_names.is_empty()).then(|| encoded.take_labels());
    let count = encoded.len();
    let decoder = Decoder::new(encoded, (height, width, channels), options).unread(buffer);
    Ok(Items {
        store: Store::Images(decoder),
        count,
        height,
        width,
        channels,
        labels,
        streamed: true,
        ..items
    })
}

/// Keeps the pages that an order needs; a note if some are decompressed more than once per epoch.
fn pages_note(tables: &Tables, order: Order, memory: u64) -> Option<String> {
    match order {
        Order::Images => Some(
            "a page of a Parquet file is decompressed for every image of it; data.order = blocks keeps it"
                .to_owned(),
        ),
        Order::Blocks { buffer } => (!tables.keep_groups(buffer, memory)).then(|| {
            let (images, limit) = (buffer.min(tables.len()), memory >> 20);
            format!("pages are decompressed again: those of {images} images may take more than {limit} MiB")
        }),
    }
}

/// Height and width of the items. Some images, spread over the set, have to be readable and of one size.
fn probe(name: &str, encoded: &Encoded, options: &OpenOptions) -> Result<(usize, usize), DatasetError> {
    let chosen = encoded.spread(PROBED);
    let look = |&index: &usize| dimensions(&encoded.read(index)?).map_err(Unread::Image);
    let sizes: Vec<Result<(u32, u32), Unread>> = chosen.par_iter().map(look).collect();
    let mut known = None;
    let mut reasons = Vec::new();
    for (&index, size) in chosen.iter().zip(sizes) {
        match size {
            Err(unread) => reasons.push(format!("{}: {}", encoded.name(index), unread.reason()?)),
            Ok(size) => {
                let (first, first_size) = *known.get_or_insert((index, size));
                if first_size != size && options.size.is_none() {
                    return Err(DatasetError::MixedSizes {
                        folder: name.to_owned(),
                        first: encoded.name(first),
                        first_width: first_size.0,
                        first_height: first_size.1,
                        second: encoded.name(index),
                        second_width: size.0,
                        second_height: size.1,
                    });
                }
            }
        }
    }
    match (options.size, known) {
        _ if !reasons.is_empty() => {
            Err(DatasetError::BadImages { folder: name.to_owned(), total: encoded.len(), reasons })
        }
        (Some(size), _) => Ok((size.height, size.width)),
        (None, Some((_, (width, height)))) => Ok((height as usize, width as usize)),
        (None, None) => Err(DatasetError::Empty { file: name.to_owned(), hint: String::new() }),
    }
}
