//! Errors of tensors and tensor files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tensor_file::TensorFileError;
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TensorIoError {
    /// The file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be read, is not a safetensors file, or its header does not match its contents.
    #[error(transparent)]
    Read(#[from] TensorFileError),
    /// The tensors cannot be serialised.
    #[error("cannot be written as a safetensors file: {reason}")]
    Serialize {
        /// The reason.
        reason: String,
    },
    /// The file is valid, but its tensors are not the wanted ones. Nothing was copied.
    #[error("{}: {} of the tensors do not fit: {}", path.display(), mismatches.len(), first_few(mismatches))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Every difference.
        mismatches: Vec<Mismatch>,
    },
    /// Data and shape disagree.
    #[error("{got} bytes or numbers do not fill the shape {shape:?}, which needs {expected}")]
    Length {
        /// The wanted shape.
        shape: Vec<i64>,
        /// Bytes or numbers that the shape needs.
        expected: usize,
        /// Bytes or numbers given.
        got: usize,
    },
    /// A tensor that is not a batch of images.
    #[error("expected images of shape [b, c, h, w], found shape {got:?}")]
    Images {
        /// The tensor's shape.
        got: Vec<i64>,
    },
    /// An element type that this project's files and arrays do not use.
    #[error("element type {kind} is not supported here; f16, bf16, f32, f64, u8 and i64 are")]
    Kind {
        /// The type.
        kind: String,
    },
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}

/// One difference between the tensors of a file and the wanted ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The file lacks a tensor.
    Missing {
        /// Its name.
        name: String,
    },
    /// The file has a tensor that is not wanted.
    Unexpected {
        /// Its name.
        name: String,
    },
    /// Shapes differ.
    Shape {
        /// The tensor's name.
        name: String,
        /// Shape in the model.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// Element types differ.
    Dtype {
        /// The tensor's name.
        name: String,
        /// Type in the model.
        expected: String,
        /// Type in the file.
        found: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name from a file may contain anything, including a line break.
        match self {
            Self::Missing { name } => write!(f, "{} is missing", name.escape_debug()),
            Self::Unexpected { name } => write!(f, "{} is not expected", name.escape_debug()),
            Self::Shape { name, expected, found } => {
                write!(f, "{} has shape {found:?}, expected {expected:?}", name.escape_debug())
            }
            Self::Dtype { name, expected, found } => {
                write!(f, "{} is {found}, expected {expected}", name.escape_debug())
            }
        }
    }
}

/// One line, however many there are: a network has hundreds of tensors.
fn first_few(mismatches: &[Mismatch]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = mismatches.iter().take(SHOWN).map(Mismatch::to_string).collect();
    let rest = mismatches.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    shown.join("; ") + &more
}
