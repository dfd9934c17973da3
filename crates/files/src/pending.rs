//! A file under construction: it has its name when it is complete, and is gone when it is given up.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::faults;
use crate::support::sync_file;

/// A file beside its final place, hidden, removed when dropped unless it was committed.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl PendingFile {
    /// An empty file in the folder of `path`.
    ///
    /// # Errors
    /// Any error of the file system; `InvalidInput` for a path that names no file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let name = name.to_string_lossy();
        // Another process, or another thread of this one, may be writing the same file.
        for attempt in 0..1000 {
            let temporary = path.with_file_name(format!(".{name}.{}-{attempt}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    let pending = Self { file, temporary, path: path.to_owned(), committed: false };
                    faults::pass("created", path)?;
                    return Ok(pending);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A second handle that shares the position.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn reopen(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Removes the name while the file stays open, where the system can: nothing is left even when the
    /// program is killed. Such a file cannot be committed.
    pub fn forget_name(&mut self) {
        // Another file may take the name from now on, so the drop must not remove it.
        self.committed = fs::remove_file(&self.temporary).is_ok();
    }

    /// Syncs the content, renames the file to its final name, and syncs the folder.
    ///
    /// # Errors
    /// Those of the file system; what was at the final name before is then still there.
    pub fn commit(mut self) -> io::Result<()> {
        faults::pass("written", &self.path)?;
        sync_file(&self.file, &self.path)?;
        faults::pass("synced", &self.path)?;
        fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        faults::pass("renamed", &self.path)?;
        crate::sync_dir(crate::parent(&self.path))
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
