//! Lists checkpoints and finds the newest sound one.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::layout::step_of;
use crate::{Checkpoint, CheckpointError, verify};

/// Lists everything in `checkpoints` that has the name of a checkpoint, by step, without verifying it.
///
/// # Errors
/// [`CheckpointError::File`] if the folder cannot be read.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints).map_err(CheckpointError::file(checkpoints))? {
        let path = entry.map_err(CheckpointError::file(checkpoints))?.path();
        // Sort by number: as text, step 1000000000 would come before 200000000.
        if let Some(step) = path.file_name().and_then(|name| step_of(name.to_str()?)) {
            found.push((step, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The newest checkpoint that verifies, if any, and why newer ones, which are damaged, were skipped.
///
/// # Errors
/// [`CheckpointError::File`] if the folder cannot be read; [`CheckpointError::Unreadable`] if a checkpoint newer than
/// any sound one has a file that cannot be read; [`CheckpointError::Version`] if a newer program wrote it. Continuing
/// from an older checkpoint would lose the work in it.
pub fn latest<I: DeserializeOwned>(
    checkpoints: &Path,
) -> Result<(Option<Checkpoint<I>>, Vec<CheckpointError>), CheckpointError> {
    let mut refused = Vec::new();
    for (_, path) in list(checkpoints)?.into_iter().rev() {
        match Checkpoint::open(&path) {
            Ok(checkpoint) => return Ok((Some(checkpoint), refused)),
            Err(error) if error.is_damage() => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((None, refused))
}

/// The folder of the newest checkpoint that verifies.
#[must_use]
pub fn newest_sound(checkpoints: &Path) -> Option<PathBuf> {
    let found = list(checkpoints).ok()?;
    found.into_iter().rev().map(|(_, path)| path).find(|path| verify(path).is_ok())
}
