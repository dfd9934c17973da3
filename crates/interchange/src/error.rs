//! Errors in models from other programs.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate. Every message is one line that starts with the file, if there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file's content is not as expected.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file or the folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A configuration has a value that is not supported.
    #[error("{}: {key} = {got}: expected {expected}", path.display())]
    Value {
        /// The configuration.
        path: PathBuf,
        /// Its key.
        key: String,
        /// The value, shortened.
        got: String,
        /// What is supported.
        expected: String,
    },
    /// The configuration does not describe a valid network.
    #[error("{}: {error}", path.display())]
    Network {
        /// The configuration.
        path: PathBuf,
        /// The error, in terms of this project's keys.
        error: config::ConfigError,
    },
    /// The other program lacks something that this project's configuration asks for.
    #[error("{key} = {got}: not available in diffusers; {reason}")]
    NotExpressible {
        /// The key in this project.
        key: String,
        /// Its value.
        got: String,
        /// What is available instead.
        reason: String,
    },
    /// ONNX cannot express what a configuration asks for.
    #[error("{key} = {got}: cannot be written as ONNX; {reason}")]
    NotInOnnx {
        /// The key.
        key: String,
        /// Its value.
        got: String,
        /// Why, or what was expected.
        reason: String,
    },
    /// The file would be larger than its format allows.
    #[error(
        "the file would have {bytes} bytes: expected at most {most}, the largest ONNX file; train a smaller network"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The largest size in bytes.
        most: u64,
    },
    /// A weight is missing.
    #[error("{name}: expected a weight of this name, found none")]
    MissingWeight {
        /// The weight.
        name: String,
    },
    /// A weight has another shape than the network expects, or its number of values does not match its shape.
    #[error("{name}: expected shape {expected:?}, found {got:?} with {numbers} numbers")]
    WrongWeight {
        /// The weight.
        name: String,
        /// The shape the network expects.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
        /// How many values it has.
        numbers: usize,
    },
    /// A weight file has an invalid header.
    #[error(transparent)]
    Weights(#[from] tensor_file::TensorFileError),
}

impl InterchangeError {
    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}
