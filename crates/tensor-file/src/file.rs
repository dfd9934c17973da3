//! A safetensors file on disk: the header is read at once, tensors one by one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::TensorFileError;
use crate::header::{Header, PREFIX, TensorInfo, header, header_end, too_short};

/// An open file whose header has been read and checked.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    header: Header,
}

/// Reads the header of a file, and none of its tensors.
///
/// # Errors
/// As [`TensorFile::open`].
pub fn read_header(path: &Path) -> Result<Header, TensorFileError> {
    TensorFile::open(path).map(|file| file.header)
}

impl TensorFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`TensorFileError::File`] if it cannot be read or is not a regular file; the other variants if the header
    /// contradicts itself or the file's length.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let mut file = files::open_regular(path).map_err(TensorFileError::file(path))?;
        let file_bytes = file.metadata().map_err(TensorFileError::file(path))?.len();
        if file_bytes < PREFIX {
            return Err(too_short(path, file_bytes));
        }
        let mut prefix = [0; PREFIX as usize];
        file.read_exact(&mut prefix).map_err(TensorFileError::file(path))?;
        let length = header_end(path, prefix, file_bytes)? - PREFIX;
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(TensorFileError::file(path))?;
        let header = header(path, &text, file_bytes)?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// The file's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the bytes of one of [`Header::tensors`]: little-endian, row-major. The number of bytes follows from type
    /// and shape, and is at most the file's length when it was opened.
    ///
    /// # Errors
    /// [`TensorFileError::File`] if the bytes cannot be read.
    pub fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, TensorFileError> {
        let length = tensor.range.end.saturating_sub(tensor.range.start);
        let mut bytes = vec![0; length as usize];
        let at = SeekFrom::Start(tensor.range.start);
        let read = self.file.seek(at).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(TensorFileError::file(&self.path))?;
        Ok(bytes)
    }
}
