//! Where pixels are stored: in memory, in a file that is read by position, or in the images they are decoded from.

use std::fs::File;
use std::path::PathBuf;

use files::PendingFile;

use crate::block_buffer::BlockBuffer;
use crate::decoding::prepared;
use crate::encoded::Encoded;
use crate::error::DatasetError;
use crate::options::OpenOptions;
use crate::unread::Unread;

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
    encoded: Encoded,
    /// Encoded images that are read together.
    buffer: Option<BlockBuffer>,
    shape: (usize, usize),
    options: OpenOptions,
    /// What an image should be, for messages.
    expected: &'static str,
}

impl Decoder {
    /// Items of `height`, `width` and `channels`, opened with `options`. All of them have been decoded before.
    pub(crate) fn new(
        encoded: Encoded,
        (height, width, channels): (usize, usize, usize),
        options: &OpenOptions,
    ) -> Self {
        let options = OpenOptions { channels: Some(channels), ..options.clone() };
        Self { encoded, buffer: None, shape: (height, width), options, expected: "the image as at the start" }
    }

    /// The same for images that have not been decoded before, with a buffer for those that are read together.
    pub(crate) fn unread(self, buffer: Option<BlockBuffer>) -> Self {
        Self { buffer, expected: "a whole image that can be read", ..self }
    }

    /// Bytes of encoded images in memory.
    pub(crate) fn held(&self) -> u64 {
        match &self.encoded {
            Encoded::Tables(tables) => tables.held(),
            _ => self.buffer.as_ref().map_or(0, BlockBuffer::held),
        }
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, Unread> {
        match (&self.buffer, &self.encoded) {
            (Some(buffer), Encoded::Shards(shards)) => buffer.read(shards, index),
            _ => self.encoded.read(index),
        }
    }

    fn read(&self, index: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        if index >= self.encoded.len() {
            return Err(DatasetError::OutOfRange { what: "image", len: self.encoded.len(), got: index });
        }
        let changed = |reason| DatasetError::unsuitable(&self.encoded.name(index), self.expected, reason);
        let prepare = |bytes: Vec<u8>| prepared(&bytes, self.shape, &self.options).map_err(Unread::Image);
        let image = match self.bytes(index).and_then(prepare) {
            Ok(image) => image,
            Err(unread) => return Err(changed(unread.reason()?)),
        };
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
