//! A checkpoint that has been verified.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::layout::STATE;
use crate::verify::verified_state;
use crate::{CheckpointError, State};

/// A checkpoint whose files are unchanged since they were written. `I` is the caller's part of the [`State`].
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint<I> {
    /// Its folder.
    pub path: PathBuf,
    /// The state of the run.
    pub state: State<I>,
}

impl<I: DeserializeOwned> Checkpoint<I> {
    /// Opens a checkpoint folder and verifies every file, as [`crate::verify`] does.
    ///
    /// # Errors
    /// [`CheckpointError`] with the file, what was expected and what was found.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let text = verified_state(path)?;
        Ok(Self { path: path.to_owned(), state: State::parse(&path.join(STATE), &text)? })
    }
}
