//! Removing old checkpoints.

use std::fs;
use std::path::Path;

use files::faults;

use crate::layout::{FILES, MANIFEST, temporary_name};
use crate::{CheckpointError, list, verify};

/// Checkpoints that are never removed: the newest sound ones, so many.
const SOUND: usize = 2;

/// Removes the checkpoints before the newest `keep`. The newest two that verify stay whatever `keep` is; so
/// does what holds a file that no run wrote. `written` is the step of a checkpoint known to be sound, which
/// is not read again.
///
/// # Errors
/// [`CheckpointError::File`] when one cannot be removed.
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

/// Removes all checkpoints but that of a step; what holds a file that no run wrote stays.
///
/// # Errors
/// [`CheckpointError::File`] when one cannot be removed.
pub fn keep_only(checkpoints: &Path, step: u64) -> Result<(), CheckpointError> {
    for (other, path) in list(checkpoints)? {
        if other != step && is_ours(&path) {
            remove(checkpoints, other, &path)?;
        }
    }
    Ok(())
}

/// Renames first, so that a process that dies here leaves no checkpoint with half of its files.
fn remove(checkpoints: &Path, step: u64, path: &Path) -> Result<(), CheckpointError> {
    faults::pass("rotation", path).map_err(CheckpointError::file(path))?;
    let hidden = checkpoints.join(temporary_name(step, true));
    fs::rename(path, &hidden).map_err(CheckpointError::file(path))?;
    // A full disk is no obstacle to removing.
    let _ = faults::pass("half-rotated", path);
    fs::remove_dir_all(&hidden).map_err(CheckpointError::file(path))
}

/// A real folder that holds nothing but the files of a checkpoint.
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
