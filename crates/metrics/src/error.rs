//! What features a metric cannot work with.

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Features do not vary in a direction in which others do.
    #[error("the samples' features do not vary in a direction in which those of the reference do")]
    Flat,
    /// There are too few rows.
    #[error("{what}: {got} rows of features, expected {least} or more")]
    TooFew {
        /// What for.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many it takes.
        least: usize,
    },
    /// Two sets have features of different lengths.
    #[error("features of {left} and of {right} numbers: both sets need the same network's")]
    Width {
        /// Numbers of a row of the first set.
        left: usize,
        /// Numbers of a row of the second.
        right: usize,
    },
    /// A feature is NaN or infinite.
    #[error("row {row} holds a number that is not finite")]
    NonFinite {
        /// The row, from 0.
        row: usize,
    },
    /// Rows that should be probabilities are none.
    #[error("row {row} is no distribution: its numbers must be 0 or more and sum to 1")]
    NoDistribution {
        /// The row, from 0.
        row: usize,
    },
    /// A count is out of range.
    #[error("{name} = {got}: expected {expected}")]
    Count {
        /// Of what.
        name: &'static str,
        /// Its value.
        got: usize,
        /// What would do.
        expected: String,
    },
    /// The eigenvalues of a covariance were not found.
    #[error("the eigenvalues of a covariance were not found")]
    Eigenvalues,
}
