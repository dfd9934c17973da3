//! A folder under construction: it gets its name when all its files are written, and is removed if it is abandoned.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::faults;
use crate::pending::under_new_name;
use crate::trial::again_when_gone;

/// A hidden folder beside its final path, removed on drop unless committed.
///
/// Write its files with [`crate::write_output`] or [`crate::PendingFile`], which sync them. Folders in it may hold files,
/// but no further folders.
#[derive(Debug)]
pub struct PendingFolder {
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl PendingFolder {
    /// Creates an empty folder for `path`, where there must be nothing yet. Missing folders above it are created.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let pending = again_when_gone(|| {
            fs::create_dir_all(crate::parent(path))?;
            let ((), temporary) = under_new_name(path, |name| fs::create_dir(name))?;
            Ok(Self { temporary, path: path.to_owned(), committed: false })
        })?;
        faults::pass("folder-created", path)?;
        Ok(pending)
    }

    /// Where its files go until it is committed.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Renames the folder to its final name, and syncs it and the folder above.
    ///
    /// # Errors
    /// Any error of the file system, such as a folder with files that has appeared at the path; it is unchanged then.
    pub fn commit(mut self) -> io::Result<()> {
        let path = &self.path;
        faults::pass("folder-written", path)?;
        crate::sync_dir(&self.temporary)?;
        faults::pass("folder-synced", path)?;
        fs::rename(&self.temporary, path)?;
        self.committed = true;
        faults::pass("folder-renamed", path)?;
        crate::sync_dir(crate::parent(path))
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a folder that cannot be removed.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_when_it_is_complete() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/model");
        let folder = PendingFolder::create(&path).unwrap();
        crate::write_output(&folder.temporary().join("unet/config.json"), b"{}").unwrap();
        crate::write_output(&folder.temporary().join("index.json"), b"[]").unwrap();
        assert!(!path.exists() && names(&home.path().join("new"))[0].starts_with(".model."));
        folder.commit().unwrap();
        assert_eq!(names(&home.path().join("new")), ["model"]);
        assert_eq!(names(&path), ["index.json", "unet"]);
        assert_eq!(fs::read(path.join("unet/config.json")).unwrap(), b"{}");
    }

    #[test]
    fn an_abandoned_folder_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = PendingFolder::create(&home.path().join("model")).unwrap();
        crate::write_output(&folder.temporary().join("unet/config.json"), b"{}").unwrap();
        drop(folder);
        assert!(names(home.path()).is_empty());
    }

    /// Two at a time: the first to finish gets the name, and its files stay.
    #[test]
    fn a_folder_that_appeared_meanwhile_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("model");
        let [first, second] = [1_u8, 2].map(|number| {
            let folder = PendingFolder::create(&path).unwrap();
            fs::write(folder.temporary().join("number"), [number]).unwrap();
            folder
        });
        second.commit().unwrap();
        assert!(first.commit().is_err());
        assert_eq!(fs::read(path.join("number")).unwrap(), [2]);
        assert_eq!(names(home.path()), ["model"]);
    }

    #[test]
    fn below_a_file_there_is_no_folder() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "mine").unwrap();
        assert!(PendingFolder::create(&home.path().join("file/model")).is_err());
        assert_eq!(names(home.path()), ["file"]);
    }
}
