//! Collects decoded images in memory up to a limit, then in a file that the next start can reuse.
//!
//! A missing place to write does not stop the run. Without a cache folder the pixels go to a temporary file, and
//! without that to memory. If they do not fit there, images are decoded again whenever they are needed.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use files::{AvailableMemory, PendingFile};

use crate::cache::{self, HEADER, cache_path};
use crate::encoded::Encoded;
use crate::error::DatasetError;
use crate::items::Items;
use crate::options::OpenOptions;
use crate::scan::Entry;
use crate::store::{Decoder, Store, StoreFile, checksum};

/// Where pixels above the memory limit go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refuge {
    /// A file that is kept for the next start.
    Cache(PathBuf),
    /// A file without a name, for this dataset only.
    Temporary(PathBuf),
    /// Memory after all.
    Memory,
    /// Nowhere: the images are decoded again.
    Images,
}

impl Refuge {
    /// All options for `expected` bytes, in the order to try them. The last one writes nothing.
    pub(crate) fn all(cache: Option<&Path>, key: &[u8; 32], expected: u64) -> Vec<Self> {
        let cache = cache.map(|folder| Self::Cache(cache_path(folder, key)));
        let last = match AvailableMemory::now() {
            // Training needs memory too.
            Some(available) if expected <= available.bytes / 2 => Self::Memory,
            _ => Self::Images,
        };
        let temporary = Self::Temporary(std::env::temp_dir().join("ddpm-pixels"));
        cache.into_iter().chain([temporary, last]).collect()
    }

    /// What happens to the decoded images, for a message.
    pub(crate) fn told(&self) -> &'static str {
        match self {
            Self::Cache(_) => "go to the cache",
            Self::Temporary(_) => "go to a temporary file instead, and are decoded again at the next start",
            Self::Memory => "stay in memory instead, and are decoded again at the next start",
            Self::Images => "are not kept: each is decoded whenever it is needed, which is slower",
        }
    }
}

/// A pixel file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub(crate) struct SpoolError {
    path: PathBuf,
    source: io::Error,
}

impl SpoolError {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self { path: path.to_owned(), source }
    }

    pub(crate) fn into_error(self) -> DatasetError {
        DatasetError::io(&self.path, "write", self.source)
    }
}

/// Collects items of one height and width. Starts with one channel and switches to three at the first item with colour,
/// unless the number of channels is fixed.
#[derive(Debug)]
pub(crate) struct Sink {
    refuge: Refuge,
    memory_limit: u64,
    /// Height times width.
    area: usize,
    channels: usize,
    /// Pixels in memory; empty once they are in a file.
    pixels: Vec<u8>,
    spool: Option<Spool>,
    /// Whether the pixels exceeded the memory limit and are not kept.
    dropped: bool,
}

impl Sink {
    /// A sink for items of `area` pixels.
    pub(crate) fn new(refuge: Refuge, memory_limit: u64, area: usize, channels: Option<usize>) -> Self {
        let channels = channels.unwrap_or(1);
        Self { refuge, memory_limit, area, channels, pixels: Vec::new(), spool: None, dropped: false }
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Appends an item with [`Sink::channels`] channels.
    pub(crate) fn push(&mut self, item: &[u8]) -> Result<(), SpoolError> {
        if let Some(spool) = &mut self.spool {
            return spool.push(item);
        }
        if self.dropped {
            return Ok(());
        }
        if (self.pixels.len() + item.len()) as u64 <= self.memory_limit || self.refuge == Refuge::Memory {
            self.pixels.extend_from_slice(item);
            return Ok(());
        }
        let pixels = std::mem::take(&mut self.pixels);
        let (path, kept) = match &self.refuge {
            Refuge::Cache(path) => (path, true),
            Refuge::Temporary(path) => (path, false),
            Refuge::Memory | Refuge::Images => {
                self.dropped = true;
                return Ok(());
            }
        };
        let mut spool = Spool::create(path, kept)?;
        for earlier in pixels.chunks(self.area * self.channels) {
            spool.push(earlier)?;
        }
        spool.push(item)?;
        self.spool = Some(spool);
        Ok(())
    }

    /// Repeats every grey value so far three times.
    pub(crate) fn turn_to_colour(&mut self) -> Result<(), SpoolError> {
        let colour =
            Self { channels: 3, pixels: Vec::new(), spool: None, refuge: self.refuge.clone(), ..*self };
        let grey = std::mem::replace(self, colour);
        let mut push = |item: &[u8]| self.push(&item.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>());
        for item in grey.pixels.chunks(grey.area) {
            push(item)?;
        }
        if let Some(spool) = grey.spool {
            let mut item = vec![0; grey.area];
            let path = spool.path.clone();
            let (mut file, count) = spool.into_reader()?;
            for _ in 0..count {
                file.read_exact(&mut item).map_err(SpoolError::at(&path))?;
                push(&item)?;
            }
        }
        Ok(())
    }

    /// Returns the items, completed with what only the caller knows about them. `entries` are the images they were
    /// decoded from.
    pub(crate) fn finish(
        mut self,
        mut items: Items,
        key: &[u8; 32],
        entries: Vec<Entry>,
        options: &OpenOptions,
    ) -> Result<Items, SpoolError> {
        items.channels = self.channels;
        items.store = match self.spool.take() {
            Some(spool) => Store::File(spool.finish(key, &items)?),
            None if self.dropped => {
                let shape = (items.height, items.width, items.channels);
                Store::Images(Decoder::new(Encoded::Listed(entries), shape, options))
            }
            None => Store::Memory(self.pixels),
        };
        Ok(items)
    }
}

/// The file that replaces memory.
#[derive(Debug)]
struct Spool {
    pending: PendingFile,
    path: PathBuf,
    kept: bool,
    writer: BufWriter<File>,
    checksums: Vec<u32>,
}

impl Spool {
    fn create(path: &Path, kept: bool) -> Result<Self, SpoolError> {
        let wrong = SpoolError::at(path);
        tracing::info!(path = %path.display(), "decoded images go to a file");
        let pending = if kept {
            files::make_folder(files::parent(path)).map_err(&wrong)?;
            cache::create_locked(path).map_err(&wrong)?
        } else {
            let mut pending = PendingFile::create(path).map_err(&wrong)?;
            // Nothing is left of it, however this process ends.
            pending.forget_name();
            pending
        };
        let mut writer = BufWriter::with_capacity(1 << 20, pending.reopen().map_err(&wrong)?);
        writer.write_all(&[0; HEADER]).map_err(&wrong)?;
        Ok(Self { writer, pending, path: path.to_owned(), kept, checksums: Vec::new() })
    }

    /// Appends one item.
    fn push(&mut self, item: &[u8]) -> Result<(), SpoolError> {
        self.checksums.push(checksum(item));
        self.writer.write_all(item).map_err(SpoolError::at(&self.path))
    }

    /// The items from the first on, and their number.
    fn into_reader(mut self) -> Result<(impl Read, usize), SpoolError> {
        let at_pixels = self.writer.flush().and_then(|()| self.writer.seek(SeekFrom::Start(HEADER as u64)));
        let file = at_pixels.and_then(|_| self.pending.reopen()).map_err(SpoolError::at(&self.path))?;
        let reader = KeptAlive { file: io::BufReader::with_capacity(1 << 20, file), _pending: self.pending };
        Ok((reader, self.checksums.len()))
    }

    fn finish(mut self, key: &[u8; 32], items: &Items) -> Result<StoreFile, SpoolError> {
        let wrong = SpoolError::at(&self.path);
        let tail = cache::tail(items.labels.as_deref(), &self.checksums);
        let header = cache::header(key, items, &tail);
        let written = self.writer.write_all(&tail).and_then(|()| self.writer.seek(SeekFrom::Start(0)));
        let written = written.and_then(|_| self.writer.write_all(&header)).and_then(|()| self.writer.flush());
        written.map_err(&wrong)?;
        let file = self.pending.reopen().map_err(&wrong)?;
        let mut unkept = None;
        if !self.kept {
            unkept = Some(self.pending);
        } else if let Err(error) = self.pending.commit() {
            // The pixels exist and the open file can read them; only the next start has to decode again.
            tracing::warn!("{}: the decoded images are not kept for the next start", wrong(error));
        }
        let checksums = self.checksums;
        Ok(StoreFile { file, path: self.path.clone(), offset: HEADER as u64, checksums, _unkept: unkept })
    }
}

/// Reads from a file that exists as long as this reader.
struct KeptAlive {
    file: io::BufReader<File>,
    _pending: PendingFile,
}

impl Read for KeptAlive {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file.read(out)
    }
}
