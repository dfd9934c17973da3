//! Errors in a network's configuration, its input or a file of its weights.

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackboneError {
    /// The configuration is invalid, or there is no such preset.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The input does not fit the network.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// The wanted shape.
        expected: String,
    },
    /// Labels were given to a network without classes.
    #[error("labels were given, but the network was built without classes")]
    Unconditional,
    /// A label is not a class of the network.
    #[error("label {got}: expected 0 to {}, or -1 for none", classes - 1)]
    Label {
        /// The label.
        got: i64,
        /// Number of classes.
        classes: usize,
    },
    /// Labels do not have the element type i64.
    #[error("labels are {got}, expected Int64")]
    LabelKind {
        /// Their element type.
        got: String,
    },
    /// The parameters of the time embedding are invalid.
    #[error(transparent)]
    Embedding(#[from] embedding::EmbeddingError),
    /// Weights do not load or save.
    #[error(transparent)]
    Weights(#[from] tensor_io::TensorIoError),
    /// A weight is not finite.
    #[error("{name}: expected finite weights, found NaN or infinite ones")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// Our own operations failed, or libtorch failed in them.
    #[error(transparent)]
    Fused(#[from] torch_ext::TorchExtError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
