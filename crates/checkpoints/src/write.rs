//! Writes a checkpoint so that it is complete or absent.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::faults;
use serde::Serialize;

use crate::layout::{MANIFEST, STATE, folder_name, temporary_name};
use crate::manifest::{Manifest, ManifestEntry};
use crate::{Checkpoint, CheckpointError, State, newest_sound, verify};

/// A checkpoint under construction, in a hidden folder that is removed on drop unless [`Writer::commit`] has run. An
/// operation that fails is retried once.
#[derive(Debug)]
pub struct Writer {
    checkpoints: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
    committed: bool,
}

impl Writer {
    /// Starts an empty checkpoint in the folder `checkpoints`.
    ///
    /// # Errors
    /// [`CheckpointError::Write`] if the folder cannot be created.
    pub fn begin(checkpoints: &Path, step: u64) -> Result<Self, CheckpointError> {
        let folder = checkpoints.join(temporary_name(step, false));
        let writer = Self {
            checkpoints: checkpoints.to_owned(),
            folder,
            manifest: Manifest::default(),
            committed: false,
        };
        writer.twice(&writer.folder, || {
            // A process with the same id may have died here.
            remove_if_there(&writer.folder)?;
            fs::create_dir_all(&writer.folder)?;
            faults::pass("folder-created", &writer.folder)
        })?;
        Ok(writer)
    }

    /// Writes one of [`crate::FILES`], or [`crate::AVERAGES`], and adds it to the manifest.
    ///
    /// # Errors
    /// [`CheckpointError::Write`], for example if the disk is full.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        self.twice(&path, || files::write_atomic(&path, bytes))?;
        self.manifest.files.push(ManifestEntry::of(name, bytes));
        Ok(())
    }

    /// Writes the state and the manifest, and renames the folder to its final name. If a sound checkpoint of the same
    /// step and content is already there, it stays.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]; earlier checkpoints are unchanged.
    pub fn commit<I: Serialize>(mut self, state: State<I>) -> Result<Checkpoint<I>, CheckpointError> {
        let text = |path: &Path, json: serde_json::Result<Vec<u8>>| {
            json.map_err(|e| CheckpointError::altered(path, "content", "values that JSON can represent", e))
        };
        let path = self.folder.join(STATE);
        self.put(STATE, &text(&path, serde_json::to_vec_pretty(&state))?)?;
        let path = self.folder.join(MANIFEST);
        let manifest = text(&path, serde_json::to_vec_pretty(&self.manifest))?;
        self.twice(&path, || files::write_atomic(&path, &manifest))?;
        self.twice(&self.folder, || {
            faults::pass("folder-written", &self.folder)?;
            files::sync_dir(&self.folder)?;
            faults::pass("folder-synced", &self.folder)
        })?;

        let path = self.checkpoints.join(folder_name(state.step));
        let same = Manifest::read(&path).is_ok_and(|there| there == self.manifest) && verify(&path).is_ok();
        if !same {
            self.put_in_place(state.step, &path)?;
        }
        Ok(Checkpoint { path, state })
    }

    fn put_in_place(&mut self, step: u64, path: &Path) -> Result<(), CheckpointError> {
        // An old folder, damaged or from another run, is removed once the new one is in place.
        let old = self.checkpoints.join(temporary_name(step, true));
        let placed = self.twice(path, || {
            if fs::symlink_metadata(path).is_ok() {
                remove_if_there(&old)?;
                fs::rename(path, &old)?;
            }
            fs::rename(&self.folder, path)
        });
        if placed.is_err() {
            // There is nothing to restore if nothing was there, or if it could not be moved.
            let _ = fs::rename(&old, path);
        }
        placed?;
        self.committed = true;
        self.twice(&self.checkpoints, || {
            faults::pass("folder-renamed", path)?;
            files::sync_dir(&self.checkpoints)
        })?;
        // The new one is safe. Anything that cannot be removed now is a leftover.
        let _ = remove_if_there(&old);
        Ok(())
    }

    /// Runs an operation, and again if it fails.
    fn twice(&self, path: &Path, operation: impl Fn() -> io::Result<()>) -> Result<(), CheckpointError> {
        operation().or_else(|_| operation()).map_err(|source| CheckpointError::Write {
            path: path.to_owned(),
            source,
            newest: newest_sound(&self.checkpoints),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.committed {
            // The next start removes whatever cannot be removed now.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes a file, a link, or a folder with its content.
fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
