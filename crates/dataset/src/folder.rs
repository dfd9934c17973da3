//! Loads a folder or archive of images: lists it, decodes each image once, and keeps the pixels if they fit.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cache::{open_cached, remove_abandoned};
use crate::decode::{decode, dimensions, has_more_frames};
use crate::encoded::Encoded;
use crate::error::DatasetError;
use crate::image_archive::list;
use crate::items::Items;
use crate::options::{OnBad, OpenOptions};
use crate::parts::take;
use crate::pixels::Pixels;
use crate::scan::{Entry, Listing, scan};
use crate::split::Split;
use crate::spool::{Refuge, Sink, SpoolError};
use crate::store::Store;
use crate::unread::Unread;
use crate::{shard_scan, stream, tables};

/// Images decoded at once: enough to keep every core busy, few enough to bound the memory.
const CHUNK: usize = 256;

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

/// Decodes into the first storage that accepts the pixels. A cache that cannot be written does not stop the run.
fn decode_all(
    entries: &[Entry],
    items: &Items,
    key: &[u8; 32],
    bad: &Bad<'_>,
    options: &OpenOptions,
    refuges: Vec<Refuge>,
) -> Result<Items, DatasetError> {
    let mut refused = None;
    for refuge in refuges {
        let mut sink =
            Sink::new(refuge.clone(), options.memory_limit, items.height * items.width, options.channels);
        match decode_into(&mut sink, entries, items, bad, options) {
            Ok(decoded) => {
                let skipped = decoded.bad.reasons.len();
                decoded.bad.judge(options.on_bad, decoded.entries.len())?;
                let labels = || decoded.entries.iter().filter_map(|entry| entry.label).collect();
                let items = Items {
                    store: Store::Memory(Vec::new()),
                    count: decoded.entries.len(),
                    labels: (!items.class_names.is_empty()).then(labels),
                    class_names: items.class_names.clone(),
                    skipped,
                    shortened: decoded.shortened,
                    notes: items.notes.clone(),
                    ..*items
                };
                match sink.finish(items, key, decoded.entries, options) {
                    Ok(items) => {
                        if let Some(reason) = refused {
                            tracing::warn!("{reason}; the decoded images {}", refuge.told());
                        }
                        return Ok(items);
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            Err(Stopped::Storage(error)) => refused = refused.or(Some(error)),
            Err(Stopped::Images(error)) => return Err(error),
        }
    }
    // The last storage writes nothing, so this is reached only if the list is empty.
    let none = || DatasetError::option("places for decoded images", "at least one", 0);
    Err(refused.map_or_else(none, SpoolError::into_error))
}

/// The result of decoding all images once.
struct Decoded<'a> {
    entries: Vec<Entry>,
    /// How many of them have further frames.
    shortened: usize,
    bad: Bad<'a>,
}

/// Why decoding stopped.
enum Stopped {
    /// The pixels cannot be stored there.
    Storage(SpoolError),
    /// The images cannot be read, wherever the pixels go.
    Images(DatasetError),
}

impl From<SpoolError> for Stopped {
    fn from(error: SpoolError) -> Self {
        Self::Storage(error)
    }
}

fn decode_into<'a>(
    sink: &mut Sink,
    entries: &[Entry],
    items: &Items,
    bad: &Bad<'a>,
    options: &OpenOptions,
) -> Result<Decoded<'a>, Stopped> {
    let mut bad = bad.clone();
    let (mut good, mut shortened) = (Vec::with_capacity(entries.len()), 0);
    let shape = (items.height, items.width);
    for chunk in entries.chunks(CHUNK) {
        let read = |entry: &Entry| -> Result<(Pixels, bool), Unread> {
            let bytes = entry.read()?;
            Ok((prepared(&bytes, shape, options)?, has_more_frames(&bytes)))
        };
        let decoded: Vec<Result<(Pixels, bool), Unread>> = chunk.par_iter().map(read).collect();
        for (entry, image) in chunk.iter().zip(decoded) {
            match image {
                Err(unread) => bad.push(entry, &unread.reason().map_err(Stopped::Images)?),
                // Once failure is certain, only check the remaining images.
                Ok(_) if options.on_bad == OnBad::Fail && !bad.reasons.is_empty() => {}
                Ok((image, more)) => {
                    shortened += usize::from(more);
                    if options.channels.is_none() && image.channels > sink.channels() {
                        sink.turn_to_colour()?;
                    }
                    sink.push(&image.with_channels(sink.channels()).pixels)?;
                    good.push(entry.clone());
                }
            }
        }
    }
    Ok(Decoded { entries: good, shortened, bad })
}

/// Decodes an image, and converts it to the requested size and channels.
pub(crate) fn prepared(bytes: &[u8], shape: (usize, usize), options: &OpenOptions) -> Result<Pixels, String> {
    let image = decode(bytes)?;
    let image = match options.size {
        Some(size) => image.fit(size, options.fit),
        // The file may have been replaced since its header was read.
        None if (image.height, image.width) != shape => {
            let (height, width) = shape;
            return Err(format!("expected {width}x{height} pixels, found {}x{}", image.width, image.height));
        }
        None => image,
    };
    Ok(match options.channels {
        Some(channels) => image.with_channels(channels),
        None => image,
    })
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

/// The images that cannot be read.
#[derive(Clone)]
struct Bad<'a> {
    root: &'a Path,
    total: usize,
    reasons: Vec<String>,
}

impl Bad<'_> {
    fn push(&mut self, entry: &Entry, reason: &str) {
        tracing::debug!(file = entry.whole_name(), reason, "unreadable image");
        self.reasons.push(format!("{}: {reason}", entry.relative.display()));
    }

    fn error(&self) -> DatasetError {
        DatasetError::BadImages {
            folder: self.root.display().to_string(),
            total: self.total,
            reasons: self.reasons.clone(),
        }
    }

    fn judge(&self, on_bad: OnBad, good: usize) -> Result<(), DatasetError> {
        match self.reasons.len() {
            0 => Ok(()),
            // A dataset cannot be empty, whatever the options say.
            _ if on_bad == OnBad::Fail || good == 0 => Err(self.error()),
            skipped => {
                tracing::warn!(skipped, total = self.total, "unreadable images left out");
                Ok(())
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// The pixels are the same in every storage, even after one of them fails.
    #[test]
    fn every_storage_gives_the_same_items() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..5 {
            let channels = if n < 3 { 1 } else { 3 };
            let image =
                Array3::from_shape_fn((4, 6, channels), |(y, x, c)| (n * 40 + y * 7 + x * 3 + c) as u8);
            crate::save_png(&folder.path().join(format!("{n}.png")), image.view()).unwrap();
        }
        let entries = scan(folder.path()).unwrap().entries;
        let items = Items {
            store: Store::Memory(Vec::new()),
            count: 0,
            height: 4,
            width: 6,
            channels: 1,
            labels: None,
            class_names: Vec::new(),
            skipped: 0,
            shortened: 0,
            notes: Vec::new(),
            identity: None,
            streamed: false,
        };
        let bad = Bad { root: folder.path(), total: 5, reasons: Vec::new() };
        let pixels = |memory_limit, refuges: &[Refuge]| {
            let options = OpenOptions { memory_limit, ..OpenOptions::default() };
            let refuges = refuges.to_vec();
            let items = decode_all(&entries, &items, &[3; 32], &bad, &options, refuges).unwrap();
            assert_eq!((items.count, items.channels), (5, 3));
            let mut all = vec![0; 5 * 72];
            for (index, item) in all.chunks_mut(72).enumerate() {
                items.store.read(index, item).unwrap();
            }
            let mut beyond = [0; 72];
            assert!(items.store.read(5, &mut beyond).is_err());
            all
        };
        let want = pixels(u64::MAX, &[Refuge::Memory]);
        let nowhere = Refuge::Cache(folder.path().join("0.png/cache/a.bin"));
        let file = Refuge::Temporary(folder.path().join("pixels"));
        for memory_limit in [0, 30, 100, 250] {
            for last in [Refuge::Memory, Refuge::Images, file.clone()] {
                assert_eq!(pixels(memory_limit, &[nowhere.clone(), last.clone()]), want, "{last:?}");
            }
        }
        // A temporary file has no name while it is used, so nothing is left however the process ends.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5);
    }
}
