//! What can be wrong with a tensor or a file of tensors.

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
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be read, is no safetensors file, or its header lies about its content.
    #[error(transparent)]
    Read(#[from] TensorFileError),
    /// The tensors cannot be put in the form of a file.
    #[error("not to be written as a safetensors file: {reason}")]
    Serialize {
        /// What is in the way.
        reason: String,
    },
    /// The file is a valid one, but its tensors are not the wanted ones. Nothing was copied.
    #[error("{}: {} of the tensors do not fit: {}", path.display(), mismatches.len(), first_few(mismatches))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Every difference.
        mismatches: Vec<Mismatch>,
    },
    /// Data and shape disagree.
    #[error("{got} bytes or numbers do not fill the shape {shape:?}, which takes {expected}")]
    Length {
        /// The wanted shape.
        shape: Vec<i64>,
        /// Bytes or numbers the shape takes.
        expected: usize,
        /// Bytes or numbers there are.
        got: usize,
    },
    /// An element type that files and arrays of this project do not use.
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
    /// The file has a tensor nobody asked for.
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
        // A name from a file may hold anything, a line break too.
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

/// One line however many there are: a network has hundreds of tensors.
fn first_few(mismatches: &[Mismatch]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = mismatches.iter().take(SHOWN).map(Mismatch::to_string).collect();
    let rest = mismatches.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    shown.join("; ") + &more
}
