//! What can be wrong with a model from elsewhere.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate. Every message is one line that begins with the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file or the folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A value of a configuration that is not supported.
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
    /// What the configuration says makes no network.
    #[error("{}: {error}", path.display())]
    Network {
        /// The configuration.
        path: PathBuf,
        /// In terms of this project's keys.
        error: config::ConfigError,
    },
    /// The other program has nothing that a configuration of this one asks for.
    #[error("{key} = {got}: diffusers cannot say that; {reason}")]
    NotExpressible {
        /// The key of this project.
        key: String,
        /// Its value.
        got: String,
        /// What there is instead.
        reason: String,
    },
    /// A file of ONNX cannot say what a configuration asks for.
    #[error("{key} = {got}: cannot be written as ONNX; {reason}")]
    NotInOnnx {
        /// The key.
        key: String,
        /// Its value.
        got: String,
        /// Why, or what was expected.
        reason: String,
    },
    /// A file would be larger than its format allows.
    #[error(
        "the file would have {bytes} bytes: expected at most {most}, the largest ONNX file; train a smaller network"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The largest size in bytes.
        most: u64,
    },
    /// A network lacks a weight.
    #[error("{name}: expected a weight of this name, found none")]
    MissingWeight {
        /// The weight.
        name: String,
    },
    /// A weight has another shape than its network says, or other numbers than its shape.
    #[error("{name}: expected shape {expected:?}, found {got:?} with {numbers} numbers")]
    WrongWeight {
        /// The weight.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The shape that it has.
        got: Vec<usize>,
        /// How many numbers it has.
        numbers: usize,
    },
    /// A file of weights has no sound header.
    #[error(transparent)]
    Weights(#[from] tensor_file::TensorFileError),
}

impl InterchangeError {
    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}
