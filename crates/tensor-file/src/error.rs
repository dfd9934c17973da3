//! Reasons for refusing a file of tensors.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a safetensors file, or its header is invalid.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The part of the file, for example `header size`.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The header entry of one tensor is invalid.
    #[error("{}: {what} of tensor {}: expected {expected}, found {found}", path.display(), tensor.escape_debug())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Which property, for example `dtype`.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl TensorFileError {
    /// For `map_err` on I/O errors of one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    pub(crate) fn header(
        path: &Path,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Header { path: path.to_owned(), what, expected, found }
    }
}
