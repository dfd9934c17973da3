//! Why a metric cannot use some features.

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Features do not vary in a direction in which others do.
    #[error("the samples' features do not vary in a direction in which those of the reference do")]
    Flat,
    /// There are too few rows.
    #[error("{what}: expected {least} or more rows of features, found {got}")]
    TooFew {
        /// What needs them.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// The least number.
        least: usize,
    },
    /// Two sets have features of different lengths.
    #[error("features of {left} and of {right} numbers: both sets must come from the same network")]
    Width {
        /// Numbers of a row of the first set.
        left: usize,
        /// Numbers of a row of the second.
        right: usize,
    },
    /// A feature is NaN or infinite.
    #[error("row {row} contains a number that is not finite")]
    NonFinite {
        /// The row, from 0.
        row: usize,
    },
    /// A row that should hold probabilities does not.
    #[error("row {row} is not a probability distribution: its numbers must be 0 or more and sum to 1")]
    NoDistribution {
        /// The row, from 0.
        row: usize,
    },
    /// A count is out of range.
    #[error("{name} = {got}: expected {expected}")]
    Count {
        /// What is counted.
        name: &'static str,
        /// Its value.
        got: usize,
        /// The valid range.
        expected: String,
    },
    /// The eigenvalues of a covariance could not be computed.
    #[error("the eigenvalues of a covariance could not be computed")]
    Eigenvalues,
}
