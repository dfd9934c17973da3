//! Why a file of tensors is refused.

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
        /// What the system says.
        source: io::Error,
    },
    /// The file is no safetensors file, or what its header says cannot be.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The part of the file, `header size` for example.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
    /// What the header says about one tensor cannot be.
    #[error("{}: {what} of tensor {}: expected {expected}, found {found}", path.display(), tensor.escape_debug())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What of it, `dtype` for example.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl TensorFileError {
    /// For `map_err` on the errors of one file.
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
