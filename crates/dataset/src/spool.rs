//! Where decoded images are collected: memory up to a limit, then a cache file that the next start can use.
//!
//! The file is a header of 128 bytes, the pixels of all items, then one u32 label an item when there are
//! labels. Its key is the SHA-256 of everything that decides the content.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::DatasetError;
use crate::items::Items;
use crate::store::{Store, StoreFile};
use files::PendingFile;

const MAGIC: &[u8; 16] = b"ddpm pixels v1\r\n";
const HEADER: usize = 128;

/// Collects items of one height and width. Starts with one channel, and turns to three at the first item
/// that has colour, unless the number is fixed.
#[derive(Debug)]
pub(crate) struct Sink {
    key: [u8; 32],
    cache: Option<PathBuf>,
    memory_limit: u64,
    channels: usize,
    pixels: Vec<u8>,
    spool: Option<Spool>,
}

/// The file that took over from memory.
#[derive(Debug)]
struct Spool {
    pending: PendingFile,
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Sink {
    /// `cache` is where a file may stay under its key.
    pub(crate) fn new(
        key: [u8; 32],
        cache: Option<&Path>,
        memory_limit: u64,
        channels: Option<usize>,
    ) -> Self {
        let cache = cache.map(|folder| cache_path(folder, &key));
        Self { key, cache, memory_limit, channels: channels.unwrap_or(1), pixels: Vec::new(), spool: None }
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Appends an item of [`Sink::channels`] channels.
    pub(crate) fn push(&mut self, item: &[u8]) -> Result<(), DatasetError> {
        if let Some(spool) = &mut self.spool {
            return spool.write(item);
        }
        if (self.pixels.len() + item.len()) as u64 > self.memory_limit {
            let mut spool = Spool::create(self.cache.as_deref())?;
            spool.write(&std::mem::take(&mut self.pixels))?;
            spool.write(item)?;
            self.spool = Some(spool);
        } else {
            self.pixels.extend_from_slice(item);
        }
        Ok(())
    }

    /// Repeats every grey value so far three times.
    pub(crate) fn turn_to_colour(&mut self) -> Result<(), DatasetError> {
        let grey = Self { channels: 3, pixels: Vec::new(), spool: None, cache: self.cache.clone(), ..*self };
        let grey = std::mem::replace(self, grey);
        for part in grey.pixels.chunks(1 << 16) {
            self.push(&part.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>())?;
        }
        if let Some(spool) = grey.spool {
            let (mut file, path) = spool.into_reader()?;
            let mut part = vec![0; 1 << 16];
            loop {
                match file.read(&mut part).map_err(|e| DatasetError::io(&path, "read", e))? {
                    0 => break,
                    n => self.push(&part[..n].iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>())?,
                }
            }
        }
        Ok(())
    }

    /// The items, with what only the caller knows about them; a file is kept when there is a cache folder.
    pub(crate) fn finish(mut self, mut items: Items) -> Result<Items, DatasetError> {
        items.channels = self.channels;
        items.store = match self.spool.take() {
            None => Store::Memory(self.pixels),
            Some(spool) => Store::File(spool.finish(&self.key, &items, self.cache.is_some())?),
        };
        Ok(items)
    }
}

impl Spool {
    fn create(cache: Option<&Path>) -> Result<Self, DatasetError> {
        let path = match cache {
            Some(path) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder).map_err(|e| DatasetError::io(folder, "create", e))?;
                path.to_owned()
            }
            None => std::env::temp_dir().join("ddpm-pixels"),
        };
        tracing::info!(path = %path.display(), "decoded images go to a file");
        let wrong = |e| DatasetError::io(&path, "write", e);
        let pending = PendingFile::create(&path).map_err(wrong)?;
        let writer = BufWriter::with_capacity(1 << 20, pending.reopen().map_err(wrong)?);
        let mut spool = Self { writer, pending, path };
        spool.write(&[0; HEADER])?;
        Ok(spool)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DatasetError> {
        self.writer.write_all(bytes).map_err(|e| DatasetError::io(&self.path, "write", e))
    }

    fn into_reader(mut self) -> Result<(impl Read, PathBuf), DatasetError> {
        let at_pixels = self.writer.flush().and_then(|()| self.writer.seek(SeekFrom::Start(HEADER as u64)));
        at_pixels.map_err(|e| DatasetError::io(&self.path, "write", e))?;
        let file = self.pending.reopen().map_err(|e| DatasetError::io(&self.path, "write", e))?;
        Ok((KeptAlive { file, _pending: self.pending }, self.path))
    }

    fn finish(mut self, key: &[u8; 32], items: &Items, keep: bool) -> Result<StoreFile, DatasetError> {
        for label in items.labels.iter().flatten() {
            self.write(&label.to_le_bytes())?;
        }
        let header = header(key, items);
        let written = self.writer.seek(SeekFrom::Start(0)).and_then(|_| self.writer.write_all(&header));
        written.and_then(|()| self.writer.flush()).map_err(|e| DatasetError::io(&self.path, "write", e))?;
        let wrong = |e| DatasetError::io(&self.path, "write", e);
        let file = self.pending.reopen().map_err(wrong)?;
        let unkept = if keep {
            self.pending.commit().map_err(wrong)?;
            None
        } else {
            self.pending.forget_name();
            Some(self.pending)
        };
        Ok(StoreFile { file, path: self.path, offset: HEADER as u64, _unkept: unkept })
    }
}

/// Reads from a file that lives as long as this.
struct KeptAlive {
    file: File,
    _pending: PendingFile,
}

impl Read for KeptAlive {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(out)
    }
}

/// The items of an earlier start, when the cache has them whole under this key; `like` tells what the folder
/// says about them.
pub(crate) fn open_cached(cache: &Path, key: &[u8; 32], like: &Items) -> Option<Items> {
    let path = cache_path(cache, key);
    let mut file = File::open(&path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut found = [0; HEADER];
    file.read_exact(&mut found).ok()?;
    let number = |place: usize| {
        let at = 48 + 8 * place;
        found[at..at + 8].try_into().ok().map(u64::from_le_bytes).and_then(|n| usize::try_from(n).ok())
    };
    let (count, height, width, channels) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let skipped = number(4)?;
    let pixels =
        crate::limits::checked_product(&[count as u64, height as u64, width as u64, channels as u64])?;
    let labelled = !like.class_names.is_empty();
    let label_bytes = if labelled { count.checked_mul(4)? } else { 0 };
    let expected = HEADER.checked_add(pixels)?.checked_add(label_bytes)?;
    if count == 0
        || height == 0
        || width == 0
        || !(channels == 1 || channels == 3)
        || length != expected as u64
    {
        return None;
    }
    let labels = if labelled {
        file.seek(SeekFrom::Start((HEADER + pixels) as u64)).ok()?;
        let mut bytes = vec![0; label_bytes];
        file.read_exact(&mut bytes).ok()?;
        let labels: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let in_range = labels.iter().all(|&label| (label as usize) < like.class_names.len());
        in_range.then_some(labels).map(Some)?
    } else {
        None
    };
    let store = Store::File(StoreFile { file, path, offset: HEADER as u64, _unkept: None });
    let class_names = like.class_names.clone();
    let items = Items { store, count, height, width, channels, labels, class_names, skipped };
    // The magic and the key come last in the check because they cover every number above.
    (found == header(key, &items)).then_some(items)
}

fn header(key: &[u8; 32], items: &Items) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(MAGIC);
    header[16..48].copy_from_slice(key);
    let numbers = [items.count, items.height, items.width, items.channels, items.skipped];
    for (place, number) in header[48..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&(number as u64).to_le_bytes());
    }
    header
}

fn cache_path(folder: &Path, key: &[u8; 32]) -> PathBuf {
    folder.join(format!("pixels-{}.bin", hex(&key[..16])))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
