//! Errors on the way from images to features.

use std::io;
use std::path::PathBuf;

use tensor_io::TensorIoError;
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeaturesError {
    /// The file of weights cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a safetensors file, or does not hold the tensors of its network.
    #[error(transparent)]
    Tensors(#[from] TensorIoError),
    /// The file is valid, but its metadata matches no network of this crate.
    #[error("{}: metadata {key:?}: expected {expected}, found {found}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The expected value.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A weight in a file is not finite.
    #[error("{}: {tensor} is not finite; get the file again, or train it again", path.display())]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// The network cannot take images of this shape.
    #[error("{network} need images of {expected}, found {}", shape_text(*found))]
    Images {
        /// The network's features by name.
        network: String,
        /// The shapes it accepts, and what to do.
        expected: String,
        /// Height, width and channels.
        found: [usize; 3],
    },
    /// No classifier can be trained on these images.
    #[error("training a classifier needs {expected}, found {found}")]
    Training {
        /// The requirement.
        expected: String,
        /// The property of the images.
        found: String,
    },
    /// The loss of a step is not finite.
    #[error("training the classifier diverged: the loss is {loss} at step {step}; another seed may help")]
    Diverged {
        /// The step, from 0.
        step: u64,
        /// NaN or infinite.
        loss: f64,
    },
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] dataset::DatasetError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
    /// The project's own operations refused.
    #[error(transparent)]
    TorchExt(#[from] torch_ext::TorchExtError),
}

/// Width, height and channels: `28x28x1`.
pub(crate) fn shape_text([height, width, channels]: [usize; 3]) -> String {
    format!("{width}x{height}x{channels}")
}
