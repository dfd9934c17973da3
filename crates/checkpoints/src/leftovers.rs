//! Cleans up after damage and killed processes. The caller holds the run's lock, so nobody is saving.

use std::fs;
use std::path::Path;

use crate::layout::{damaged_name, is_temporary};
use crate::{CheckpointError, list};

/// Renames the checkpoints after `step`, which are all damaged; otherwise rotation would keep them as the newest.
///
/// # Errors
/// [`CheckpointError::File`] if one cannot be renamed.
pub fn set_aside_after(checkpoints: &Path, step: u64) -> Result<(), CheckpointError> {
    for (later, path) in list(checkpoints)?.into_iter().filter(|(later, _)| *later > step) {
        let aside = checkpoints.join(damaged_name(later));
        // This step was damaged before: replace the older damaged copy.
        let cleared = if aside.is_dir() { fs::remove_dir_all(&aside) } else { Ok(()) };
        cleared.and_then(|()| fs::rename(&path, &aside)).map_err(CheckpointError::file(&path))?;
    }
    Ok(())
}

/// Removes hidden folders of processes that were killed while saving or removing a checkpoint.
///
/// # Errors
/// [`CheckpointError::File`] if one cannot be removed.
pub fn remove_leftovers(checkpoints: &Path) -> Result<(), CheckpointError> {
    for entry in fs::read_dir(checkpoints).map_err(CheckpointError::file(checkpoints))? {
        let path = entry.map_err(CheckpointError::file(checkpoints))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_temporary(name) && path.is_dir() {
            fs::remove_dir_all(&path).map_err(CheckpointError::file(&path))?;
        }
    }
    Ok(())
}
