//! Checks that several kinds share.

use crate::{EmbeddingError, MAX_DIM, MIN_STEPS};

pub(crate) fn check_steps(steps: usize) -> Result<(), EmbeddingError> {
    if steps < MIN_STEPS { Err(EmbeddingError::Steps { got: steps }) } else { Ok(()) }
}

pub(crate) fn check_frequencies(frequencies: usize) -> Result<(), EmbeddingError> {
    if (1..=MAX_DIM / 2).contains(&frequencies) {
        Ok(())
    } else {
        Err(EmbeddingError::Frequencies { got: frequencies })
    }
}
