//! What damage and killed processes leave behind. The caller holds the run's lock, so nobody is saving.

use std::fs;
use std::path::Path;

use crate::layout::{damaged_name, is_temporary};
use crate::{CheckpointError, list};

/// Renames the checkpoints after `step`, all of them damaged: rotation would keep them as the newest.
///
/// # Errors
/// [`CheckpointError::File`] when one cannot be renamed.
pub fn set_aside_after(checkpoints: &Path, step: u64) -> Result<(), CheckpointError> {
    for (later, path) in list(checkpoints)?.into_iter().filter(|(later, _)| *later > step) {
        let aside = checkpoints.join(damaged_name(later));
        // The same step was damaged before: the newer wreck replaces the older.
        let cleared = if aside.is_dir() { fs::remove_dir_all(&aside) } else { Ok(()) };
        cleared.and_then(|()| fs::rename(&path, &aside)).map_err(CheckpointError::file(&path))?;
    }
    Ok(())
}

/// Removes the hidden folders of processes that were killed while they saved or removed a checkpoint.
///
/// # Errors
/// [`CheckpointError::File`] when one cannot be removed.
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
