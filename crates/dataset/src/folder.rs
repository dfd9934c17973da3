//! Opens a folder or archive of images: lists it, and has each image decoded once if the pixels fit.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cache::{open_cached, remove_abandoned};
use crate::decode::dimensions;
use crate::decoding::{Bad, decode_all};
use crate::encoded::Encoded;
use crate::error::DatasetError;
use crate::image_archive::list;
use crate::items::Items;
use crate::options::OpenOptions;
use crate::parts::take;
use crate::scan::{Entry, Listing, scan};
use crate::split::Split;
use crate::spool::Refuge;
use crate::store::Store;
use crate::unread::Unread;
use crate::{shard_scan, stream, tables};

/// Opens a folder; see [`crate::Dataset::open`].
pub(crate) fn load_folder(
    root: &Path,
    part: Option<Split>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    load(root, scan(root)?, "", part, options)
}

/// Opens a zip archive of images; see [`crate::Dataset::open`].
pub(crate) fn load_archive(
    path: &Path,
    part: Option<Split>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let advice = "; unpack the archive if they are data";
    load(path, list(path, options.inflation())?, advice, part, options)
}

/// Opens tar shards; see [`crate::Dataset::open`].
pub(crate) fn load_shards(
    path: &Path,
    part: Option<Split>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let found = shard_scan::list(path, part, options.labels_required)?;
    let mut shards = found.shards;
    if options.limit.is_some() {
        shards = shards.select(&options.chosen(shards.len()));
    }
    settle(path, Encoded::Shards(Arc::new(shards)), found.class_names, found.notes, options)
}

/// Opens Parquet files; see [`crate::Dataset::open`].
pub(crate) fn load_tables(
    path: &Path,
    part: Option<Split>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let found = tables::list(path, part, options)?;
    let mut tables = found.tables;
    if options.limit.is_some() {
        tables = tables.select(&options.chosen(tables.len()));
    }
    settle(path, Encoded::Tables(Arc::new(tables)), found.class_names, found.notes, options)
}

fn load(
    root: &Path,
    listing: Listing,
    advice: &str,
    part: Option<Split>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let name = root.display().to_string();
    if listing.entries.is_empty() {
        let hint = match listing.others.count {
            0 => String::new(),
            n => format!(" ({n} other files{advice})"),
        };
        return Err(DatasetError::Empty { file: name, hint });
    }
    let mut taken = take(&name, listing.entries, part)?;
    taken.notes.extend(listing.others.note());
    let mut entries = taken.entries;
    if options.limit.is_some() {
        entries = options.chosen(entries.len()).into_iter().map(|index| entries[index].clone()).collect();
    }
    settle(root, Encoded::Listed(entries), taken.class_names, taken.notes, options)
}

/// Decodes the images of a set, unless they would take too much memory.
fn settle(
    root: &Path,
    encoded: Encoded,
    class_names: Vec<String>,
    notes: Vec<String>,
    options: &OpenOptions,
) -> Result<Items, DatasetError> {
    let mut items = Items {
        store: Store::Memory(Vec::new()),
        count: 0,
        height: 0,
        width: 0,
        channels: 1,
        labels: None,
        identity: Some(encoded.identity(&class_names, options)?),
        class_names,
        skipped: 0,
        shortened: 0,
        notes,
        streamed: false,
    };
    if let Some(need) = stream::need(&encoded, options) {
        return stream::open(root, encoded, items, need, options);
    }
    let entries = encoded.into_entries();
    let key = cache_key(&entries, &items.class_names, options);
    let cache = options.cache_dir.as_deref();
    if let Some(cache) = cache {
        remove_abandoned(cache);
        if let Some(cached) = open_cached(cache, &key, &items) {
            tracing::debug!(count = cached.count, "decoded images found in the cache");
            return Ok(noted(cached));
        }
    }

    let mut bad = Bad { root, total: entries.len(), reasons: Vec::new() };
    let entries = match options.size {
        Some(size) => {
            (items.height, items.width) = (size.height, size.width);
            entries
        }
        None => {
            let (entries, (width, height)) = same_size(entries, &mut bad)?;
            (items.height, items.width) = (height as usize, width as usize);
            entries
        }
    };
    let channels = options.channels.unwrap_or(3);
    let expected = [entries.len(), items.height, items.width, channels].map(|n| n as u64);
    let expected = expected.into_iter().fold(1, u64::saturating_mul);
    decode_all(&entries, &items, &key, &bad, options, Refuge::all(cache, &key, expected)).map(noted)
}

/// Adds a note about frames that are not used.
fn noted(mut items: Items) -> Items {
    items.notes.extend(match items.shortened {
        0 => None,
        1 => Some("1 image has several frames or pages: only the first is used".to_owned()),
        count => Some(format!("{count} images have several frames or pages: only the first of each is used")),
    });
    items
}

/// The size that all images have according to their headers, and the images whose header can be read.
fn same_size(entries: Vec<Entry>, bad: &mut Bad<'_>) -> Result<(Vec<Entry>, (u32, u32)), DatasetError> {
    let look = |entry: &Entry| dimensions(&entry.read()?).map_err(Unread::Image);
    let sizes: Vec<Result<(u32, u32), Unread>> = entries.par_iter().map(look).collect();
    let (mut good, mut first) = (Vec::new(), None);
    for (entry, size) in entries.into_iter().zip(sizes) {
        match size {
            Err(unread) => bad.push(&entry, &unread.reason()?),
            Ok(size) => {
                let (other, other_size) = first.get_or_insert_with(|| (entry.relative.clone(), size));
                if *other_size != size {
                    return Err(DatasetError::MixedSizes {
                        folder: bad.root.display().to_string(),
                        first: other.display().to_string(),
                        first_width: other_size.0,
                        first_height: other_size.1,
                        second: entry.relative.display().to_string(),
                        second_width: size.0,
                        second_height: size.1,
                    });
                }
                good.push(entry);
            }
        }
    }
    match first {
        Some((_, size)) => Ok((good, size)),
        None => Err(bad.error()),
    }
}

/// SHA-256 over everything that determines the decoded pixels: the files and the options.
fn cache_key(entries: &[Entry], class_names: &[String], options: &OpenOptions) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    let OpenOptions { size, channels, fit, on_bad, .. } = options;
    text(&format!("3 {size:?} {channels:?} {fit:?} {on_bad:?} {}", class_names.len()));
    class_names.iter().for_each(|name| text(name));
    for entry in entries {
        text(&entry.whole_name());
        text(&format!("{} {} {:?}", entry.length, entry.modified, entry.label));
    }
    hash.finalize().into()
}
