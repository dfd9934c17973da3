//! Removes old checkpoints.

use std::fs;
use std::path::Path;

use files::faults;

use crate::layout::{FILES, MANIFEST, temporary_name};
use crate::{CheckpointError, list, verify};

/// How many of the newest sound checkpoints are never removed.
const SOUND: usize = 2;

/// Removes all but the newest `keep` checkpoints. The newest two that verify always stay, and so does any folder with a
/// file that no run wrote. `written` is the step of a checkpoint known to be sound, which is not read again.
///
/// # Errors
/// [`CheckpointError::File`] if one cannot be removed.
pub fn rotate(checkpoints: &Path, keep: usize, written: Option<u64>) -> Result<(), CheckpointError> {
    let found = list(checkpoints)?;
    if found.len() <= keep.max(SOUND) {
        return Ok(());
    }
    let (mut kept, mut sound) = (0, 0);
    for (step, path) in found.iter().rev() {
        if kept < keep || sound < SOUND {
            kept += 1;
            if sound < SOUND && (written == Some(*step) || verify(path).is_ok()) {
                sound += 1;
            }
        } else if is_ours(path) {
            remove(checkpoints, *step, path)?;
        }
    }
    Ok(())
}

/// Removes all checkpoints except that of a step. A folder with a file that no run wrote stays.
///
/// # Errors
/// [`CheckpointError::File`] if one cannot be removed.
pub fn keep_only(checkpoints: &Path, step: u64) -> Result<(), CheckpointError> {
    for (other, path) in list(checkpoints)? {
        if other != step && is_ours(&path) {
            remove(checkpoints, other, &path)?;
        }
    }
    Ok(())
}

/// Renames the folder first, so that a crash here never leaves a checkpoint with half of its files.
fn remove(checkpoints: &Path, step: u64, path: &Path) -> Result<(), CheckpointError> {
    faults::pass("rotation", path).map_err(CheckpointError::file(path))?;
    let hidden = checkpoints.join(temporary_name(step, true));
    fs::rename(path, &hidden).map_err(CheckpointError::file(path))?;
    // A full disk does not prevent removal.
    let _ = faults::pass("half-rotated", path);
    fs::remove_dir_all(&hidden).map_err(CheckpointError::file(path))
}

/// Whether a path is a real folder that holds only the files of a checkpoint.
fn is_ours(path: &Path) -> bool {
    let folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let known = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            name == MANIFEST || FILES.iter().any(|file| name == *file)
        })
    };
    folder && fs::read_dir(path).is_ok_and(|mut entries| entries.all(known))
}
