//! A folder of images: listed, decoded once, kept as pixels.

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::decode::{decode, dimensions};
use crate::error::DatasetError;
use crate::items::Items;
use crate::limits::{MAX_ENCODED_IMAGE, read_file};
use crate::options::{OnBad, OpenOptions};
use crate::pixels::Pixels;
use crate::scan::{Entry, scan};
use crate::spool::{Sink, open_cached};
use crate::store::Store;

/// Images decoded at a time: enough for every core, few enough to bound the memory.
const CHUNK: usize = 256;

/// Opens a folder; see [`crate::Dataset::open`].
pub(crate) fn load_folder(root: &Path, options: &OpenOptions) -> Result<Items, DatasetError> {
    let listing = scan(root)?;
    if listing.entries.is_empty() {
        let hint = match listing.ignored {
            0 => String::new(),
            n => format!(" ({n} other files)"),
        };
        return Err(DatasetError::Empty { file: root.display().to_string(), hint });
    }
    let chosen = options.chosen(listing.entries.len());
    let entries: Vec<Entry> = chosen.into_iter().map(|index| listing.entries[index].clone()).collect();
    let mut items = Items {
        store: Store::Memory(Vec::new()),
        count: 0,
        height: 0,
        width: 0,
        channels: 1,
        labels: None,
        class_names: listing.class_names,
        skipped: 0,
    };
    let key = cache_key(&entries, &items.class_names, options);
    let cache = options.cache_dir.as_deref();
    if let Some(cached) = cache.and_then(|cache| open_cached(cache, &key, &items)) {
        tracing::debug!(count = cached.count, "decoded images found in the cache");
        return Ok(cached);
    }

    let mut bad = Bad { root, total: entries.len(), reasons: Vec::new() };
    let entries = match options.size {
        Some(size) => {
            (items.height, items.width) = (size, size);
            entries
        }
        None => {
            let (entries, (width, height)) = same_size(entries, &mut bad)?;
            (items.height, items.width) = (height as usize, width as usize);
            entries
        }
    };
    let mut sink = Sink::new(key, cache, options.memory_limit, options.channels);
    let mut labels = Vec::with_capacity(entries.len());
    for chunk in entries.chunks(CHUNK) {
        let decoded: Vec<Result<Pixels, String>> =
            chunk.par_iter().map(|entry| prepare(entry, (items.height, items.width), options)).collect();
        for (entry, image) in chunk.iter().zip(decoded) {
            match image {
                Err(reason) => bad.push(entry, &reason),
                // With an error certain, the rest is only checked.
                Ok(_) if options.on_bad == OnBad::Fail && !bad.reasons.is_empty() => {}
                Ok(image) => {
                    if options.channels.is_none() && image.channels > sink.channels() {
                        sink.turn_to_colour()?;
                    }
                    sink.push(&image.with_channels(sink.channels()).pixels)?;
                    labels.extend(entry.label);
                    items.count += 1;
                }
            }
        }
    }
    bad.judge(options.on_bad, items.count)?;
    items.skipped = bad.reasons.len();
    items.labels = (!items.class_names.is_empty()).then_some(labels);
    sink.finish(items)
}

/// Reads and decodes one file, and brings it to the size and channels asked for.
fn prepare(entry: &Entry, shape: (usize, usize), options: &OpenOptions) -> Result<Pixels, String> {
    let image = decode(&read(entry)?)?;
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

fn read(entry: &Entry) -> Result<Vec<u8>, String> {
    read_file(&entry.path, MAX_ENCODED_IMAGE).map_err(|e| e.to_string())
}

/// The size that all images have, by their headers, and the images whose header can be read.
fn same_size(entries: Vec<Entry>, bad: &mut Bad<'_>) -> Result<(Vec<Entry>, (u32, u32)), DatasetError> {
    let sizes: Vec<Result<(u32, u32), String>> = entries.par_iter().map(|e| dimensions(&read(e)?)).collect();
    let (mut good, mut first) = (Vec::new(), None);
    for (entry, size) in entries.into_iter().zip(sizes) {
        match size {
            Err(reason) => bad.push(&entry, &reason),
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
struct Bad<'a> {
    root: &'a Path,
    total: usize,
    reasons: Vec<String>,
}

impl Bad<'_> {
    fn push(&mut self, entry: &Entry, reason: &str) {
        tracing::debug!(file = %entry.path.display(), reason, "unreadable image");
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
            // A set of nothing is no set, whatever was asked for.
            _ if on_bad == OnBad::Fail || good == 0 => Err(self.error()),
            skipped => {
                tracing::warn!(skipped, total = self.total, "unreadable images left out");
                Ok(())
            }
        }
    }
}

/// SHA-256 over everything that decides the decoded pixels: the files and the options.
fn cache_key(entries: &[Entry], class_names: &[String], options: &OpenOptions) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    let OpenOptions { size, channels, fit, on_bad, .. } = options;
    text(&format!("1 {size:?} {channels:?} {fit:?} {on_bad:?} {}", class_names.len()));
    class_names.iter().for_each(|name| text(name));
    for entry in entries {
        text(&entry.path.to_string_lossy());
        text(&format!("{} {} {:?}", entry.length, entry.modified, entry.label));
    }
    hash.finalize().into()
}
