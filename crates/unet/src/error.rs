//! What can be wrong with a configuration, an input or a file of weights.

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UNetError {
    /// A value of the configuration makes no network.
    #[error("model.{field} = {got}: expected {expected}")]
    Config {
        /// The field of [`crate::UNetConfig`].
        field: &'static str,
        /// The value.
        got: String,
        /// What would do.
        expected: String,
    },
    /// No preset of this name.
    #[error("no model preset {name:?}; there are: {known}")]
    Preset {
        /// The wanted name.
        name: String,
        /// The names there are.
        known: String,
    },
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
    /// The time embedding's parameters are refused.
    #[error(transparent)]
    Embedding(#[from] embedding::EmbeddingError),
    /// Weights do not load or save.
    #[error(transparent)]
    Weights(#[from] tensor_io::TensorIoError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
