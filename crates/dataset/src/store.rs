//! Where pixels are stored: in memory, in a file that is read by position, or in the images they are decoded from.

use std::fs::File;
use std::path::PathBuf;

use files::PendingFile;

use crate::error::DatasetError;
use crate::folder::prepare;
use crate::options::OpenOptions;
use crate::scan::Entry;

/// The pixels of all items in sequence.
#[derive(Debug)]
pub(crate) enum Store {
    Memory(Vec<u8>),
    File(StoreFile),
    Images(Decoder),
}

/// A file with pixels from `offset` on.
#[derive(Debug)]
pub(crate) struct StoreFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// One for each item.
    pub(crate) checksums: Vec<u32>,
    /// A file that is not to be kept is never committed, so it is removed with the store.
    pub(crate) _unkept: Option<PendingFile>,
}

/// Images that are decoded whenever they are read.
#[derive(Debug)]
pub(crate) struct Decoder {
    entries: Vec<Entry>,
    shape: (usize, usize),
    options: OpenOptions,
}

impl Decoder {
    /// Items of `height`, `width` and `channels`, opened with `options`.
    pub(crate) fn new(
        entries: Vec<Entry>,
        (height, width, channels): (usize, usize, usize),
        options: &OpenOptions,
    ) -> Self {
        let options = OpenOptions { channels: Some(channels), ..options.clone() };
        Self { entries, shape: (height, width), options }
    }

    fn read(&self, index: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        let Some(entry) = self.entries.get(index) else {
            return Err(DatasetError::OutOfRange { what: "image", len: self.entries.len(), got: index });
        };
        let changed =
            |reason| DatasetError::unsuitable(&entry.whole_name(), "the image as at the start", reason);
        let image = prepare(entry, self.shape, &self.options).map_err(changed)?;
        if image.pixels.len() != out.len() {
            return Err(changed(format!("{}x{} pixels", image.width, image.height)));
        }
        out.copy_from_slice(&image.pixels);
        Ok(())
    }
}

/// The checksum of an item in a file; it detects every change within 32 consecutive bits.
pub(crate) fn checksum(item: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(item);
    crc.sum()
}

impl Store {
    /// Reads item `index`; all items have `out.len()` bytes.
    pub(crate) fn read(&self, index: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        let start = index.saturating_mul(out.len());
        match self {
            Self::Memory(pixels) => match start.checked_add(out.len()).and_then(|end| pixels.get(start..end))
            {
                Some(part) => {
                    out.copy_from_slice(part);
                    Ok(())
                }
                None => Err(DatasetError::OutOfRange { what: "pixels", len: pixels.len(), got: start }),
            },
            Self::File(store) => {
                read_at(&store.file, store.offset + start as u64, out)
                    .map_err(|e| DatasetError::io(&store.path, "read", e))?;
                if store.checksums.get(index) == Some(&checksum(out)) {
                    return Ok(());
                }
                let found = format!("other pixels in image {index}; start again to rebuild the cache");
                let file = store.path.display().to_string();
                Err(DatasetError::malformed(
                    &file,
                    "as a cache of pixels",
                    "the pixels that were written",
                    found,
                ))
            }
            Self::Images(decoder) => decoder.read(index, out),
        }
    }
}

/// A positioned read does not change a shared position, so threads may read at the same time.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut out[done..], at + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}
