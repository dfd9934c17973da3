//! Where the pixels are: in memory, or in a file that is read by position.

use std::fs::File;
use std::path::PathBuf;

use crate::error::DatasetError;
use files::PendingFile;

/// Pixels of all items, one after the other.
#[derive(Debug)]
pub(crate) enum Store {
    Memory(Vec<u8>),
    File(StoreFile),
}

/// A file with pixels from `offset` on.
#[derive(Debug)]
pub(crate) struct StoreFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// A file that nobody asked to keep is never committed, and so removed with the store.
    pub(crate) _unkept: Option<PendingFile>,
}

impl Store {
    /// Reads `out.len()` bytes from byte `start` of the pixels.
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        match self {
            Self::Memory(pixels) => match start.checked_add(out.len()).and_then(|end| pixels.get(start..end))
            {
                Some(part) => {
                    out.copy_from_slice(part);
                    Ok(())
                }
                None => Err(DatasetError::OutOfRange { what: "pixels", len: pixels.len(), got: start }),
            },
            Self::File(store) => read_at(&store.file, store.offset + start as u64, out)
                .map_err(|e| DatasetError::io(&store.path, "read", e)),
        }
    }
}

/// A positioned read leaves no shared position behind: threads may read at the same time.
#[cfg(unix)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut out[done..], at + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}
