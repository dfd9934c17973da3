//! What can go wrong while a mixture is fitted, saved or sampled.

use std::path::PathBuf;

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MixtureError {
    /// A number of the fit is out of range.
    #[error("{what} = {got}: expected {least} to {most}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number requested.
        got: usize,
        /// The smallest one allowed.
        least: usize,
        /// The largest one allowed.
        most: usize,
    },
    /// A tensor is not a batch of images.
    #[error("{what}: expected f32 of shape {expected}, got {got_kind} of shape {got:?}")]
    Images {
        /// What the tensor is for.
        what: &'static str,
        /// Its shape in words.
        expected: String,
        /// Its shape.
        got: Vec<i64>,
        /// Its element type.
        got_kind: String,
    },
    /// Too few images to have a covariance.
    #[error("{got} images: a mixture needs at least {least}")]
    TooFew {
        /// Images given.
        got: usize,
        /// Images needed.
        least: usize,
    },
    /// There is not one label per image.
    #[error("{got} labels for {expected} images: expected one per image")]
    Labels {
        /// Number of images.
        expected: usize,
        /// Number of labels.
        got: usize,
    },
    /// A class without components.
    #[error("class {class}: the mixture has no component of this class; it knows {known}")]
    Class {
        /// The label.
        class: i64,
        /// The classes that it has, in words.
        known: String,
    },
    /// Images with NaN or infinite pixels.
    #[error("the images contain NaN or infinite numbers")]
    NotFinite,
    /// A file that holds no mixture.
    #[error("{}: expected a file of a mixture, found {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// An error of libtorch.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
