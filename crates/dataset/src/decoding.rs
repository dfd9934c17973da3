//! Decodes each image of a set once, into the first storage that takes the pixels.

use std::path::Path;

use rayon::prelude::*;

use crate::decode::{decode, has_more_frames};
use crate::error::DatasetError;
use crate::items::Items;
use crate::options::{OnBad, OpenOptions};
use crate::pixels::Pixels;
use crate::scan::Entry;
use crate::spool::{Refuge, Sink, SpoolError};
use crate::store::Store;
use crate::unread::Unread;

/// Images decoded at once: enough to keep every core busy, few enough to bound the memory.
const CHUNK: usize = 256;

/// Decodes into the first storage that accepts the pixels. A cache that cannot be written does not stop the run.
pub(crate) fn decode_all(
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

/// The images that cannot be read.
#[derive(Clone)]
pub(crate) struct Bad<'a> {
    pub(crate) root: &'a Path,
    pub(crate) total: usize,
    pub(crate) reasons: Vec<String>,
}

impl Bad<'_> {
    pub(crate) fn push(&mut self, entry: &Entry, reason: &str) {
        tracing::debug!(file = entry.whole_name(), reason, "unreadable image");
        self.reasons.push(format!("{}: {reason}", entry.relative.display()));
    }

    pub(crate) fn error(&self) -> DatasetError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;
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
