//! Writing a file under a temporary name, syncing and renaming it: nobody ever sees half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::DatasetError;

/// Fills a file beside `path` by `fill`, then gives it the name `path`. On an error nothing is left.
pub(crate) fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DatasetError> {
    let pending = PendingFile::create(path)?;
    let mut writer = BufWriter::new(pending.reopen()?);
    fill(&mut writer).and_then(|()| writer.flush()).map_err(|e| DatasetError::io(path, "write", e))?;
    pending.commit()
}

/// A file that is removed when dropped, unless it was committed to its final name.
#[derive(Debug)]
pub(crate) struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl PendingFile {
    /// An empty file in the folder of `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, DatasetError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Another process, or another thread of this one, may be writing the same file.
        for attempt in 0..1000 {
            let temporary = path.with_file_name(format!(".{name}.{}-{attempt}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok(Self { file, temporary, path: path.to_owned(), committed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(DatasetError::io(path, "write", error)),
            }
        }
        Err(DatasetError::io(path, "write", io::ErrorKind::AlreadyExists.into()))
    }

    /// A second handle that shares the position.
    pub(crate) fn reopen(&self) -> Result<File, DatasetError> {
        self.file.try_clone().map_err(|e| DatasetError::io(&self.path, "write", e))
    }

    /// Removes the name while the file stays open, where the system can: nothing is left even when the program
    /// is killed.
    pub(crate) fn forget_name(&mut self) {
        // Another file may take the name from now on, so the drop must not remove it.
        self.committed = fs::remove_file(&self.temporary).is_ok();
    }

    /// Syncs the content and renames the file to its final name.
    pub(crate) fn commit(mut self) -> Result<(), DatasetError> {
        let done = self.file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.path));
        done.map_err(|e| DatasetError::io(&self.path, "write", e))?;
        self.committed = true;
        sync_folder(&self.path);
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes the new name last through a power cut, where the system lets folders be synced.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, |w| w.write_all(b"old")).unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"ne")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.unwrap_err().to_string().contains("full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_atomic(&folder.path().join("no/a.bin"), |_| Ok(())).is_err());
    }
}
