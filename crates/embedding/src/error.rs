//! What can be wrong with an embedding's parameters.

use crate::{MAX_DIM, MIN_STEPS};

/// Parameters that do not define an embedding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// A chain of this many steps has no times to distinguish.
    #[error("an embedding of normalised t needs at least {MIN_STEPS} diffusion steps, got {got}")]
    Steps {
        /// The number of steps given.
        got: usize,
    },
    /// The number of frequencies is 0 or absurdly large.
    #[error("an embedding has 1 to {} frequencies, got {got}", MAX_DIM / 2)]
    Frequencies {
        /// The number of frequencies requested.
        got: usize,
    },
    /// The dimension is not an even number in range: it holds a sine and a cosine per frequency.
    #[error("an embedding's dimension must be an even number from 2 to {MAX_DIM}, got {got}")]
    Dim {
        /// The dimension requested.
        got: usize,
    },
    /// A parameter is outside its range, infinite, or not a number.
    #[error("{name} must be a number in {expected}, got {got}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its range, as an interval.
        expected: &'static str,
        /// The value.
        got: f64,
    },
    /// The divisor `dim / 2 - freq_shift` of the transformer embedding is not positive.
    #[error("freq_shift must be below dim / 2 = {half_dim}, got {freq_shift}")]
    Divisor {
        /// Half of the dimension, the number of frequencies.
        half_dim: usize,
        /// The shift given.
        freq_shift: f64,
    },
    /// A given frequency is infinite or not a number.
    #[error("frequency {index} must be finite, got {got}")]
    NotFinite {
        /// Its position, from 0.
        index: usize,
        /// Its value.
        got: f64,
    },
    /// The name is unknown.
    #[error("unknown {what} {got:?}, expected one of: {}", expected.join(", "))]
    UnknownName {
        /// What is named.
        what: &'static str,
        /// The name given.
        got: String,
        /// The valid names.
        expected: &'static [&'static str],
    },
}
