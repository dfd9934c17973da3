//! A file under construction: it has its name when it is complete, and is gone when it is given up.

use std::env;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use crate::faults;
use crate::support::sync_file;
use crate::target::{Target, keep, new_file, open_stream};
use crate::trial::again_when_gone;

/// Characters of a file's name in that of its temporary file: with all of them the longest names would be too long.
const NAME_CHARS: usize = 48;

/// A file beside its final place, hidden, removed when dropped unless it was committed.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    /// What is at `path` is written to and not replaced.
    into_stream: bool,
    committed: bool,
}

impl PendingFile {
    /// An empty file in the folder of `path`, for the program's own folders: a link at `path` will be replaced.
    ///
    /// # Errors
    /// Any error of the file system; `InvalidInput` for a path that names no file, or that names a pipe or a device.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::of(Target::own(path)?)
    }

    /// An empty file for an output that a user has named. Links are followed, missing folders made. The file will keep
    /// the mode and, where the system allows it, the owner of the one it replaces. A pipe or a character device is
    /// written to by [`PendingFile::commit`], and the bytes wait in the system's folder for temporary files.
    ///
    /// # Errors
    /// Any error of the file system; `InvalidInput` or `IsADirectory` for what is neither a file nor a pipe nor a
    /// character device.
    pub fn create_output(path: &Path) -> io::Result<Self> {
        again_when_gone(|| {
            let target = Target::output(path)?;
            if let Target::File { path, .. } = &target {
                fs::create_dir_all(crate::parent(path))?;
            }
            Self::of(target)
        })
    }

    fn of(target: Target) -> io::Result<Self> {
        match target {
            Target::File { path, before } => {
                let (file, temporary) = temporary(&path, before.as_ref())?;
                let pending = Self { file, temporary, path, into_stream: false, committed: false };
                if let Some(before) = &before {
                    keep(&pending.file, before)?;
                }
                faults::pass("created", &pending.path)?;
                Ok(pending)
            }
            Target::Stream(path) => {
                let (file, temporary) = temporary(&env::temp_dir().join("ddpm-output"), None)?;
                let mut pending = Self { file, temporary, path, into_stream: true, committed: false };
                pending.forget_name();
                Ok(pending)
            }
        }
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

    /// Syncs the content, renames the file to its final name, and syncs the folder. Into a pipe or a device it copies
    /// the content.
    ///
    /// # Errors
    /// Those of the file system; what was at the final name before is then still there.
    pub fn commit(mut self) -> io::Result<()> {
        if self.into_stream {
            self.file.rewind()?;
            return io::copy(&mut self.file, &mut open_stream(&self.path)?).map(drop);
        }
        let path = &self.path;
        faults::pass("written", path)?;
        sync_file(&self.file, path)?;
        faults::pass("synced", path)?;
        fs::rename(&self.temporary, path)?;
        self.committed = true;
        faults::pass("renamed", path)?;
        crate::sync_dir(crate::parent(path))
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

/// A new file beside `path`, hidden, and its name.
pub(crate) fn temporary(path: &Path, before: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    under_new_name(path, |name| new_file(before).open(name))
}

/// What `make` makes under a new name beside `path`, `.NAME.PROCESS-ATTEMPT.tmp`.
pub(crate) fn under_new_name<T>(
    path: &Path,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let name: String =
        path.file_name().unwrap_or_default().to_string_lossy().chars().take(NAME_CHARS).collect();
    // Another process, or another thread of this one, may be writing the same file.
    for attempt in 0..1000 {
        let new = path.with_file_name(format!(".{name}.{}-{attempt}.tmp", std::process::id()));
        match make(&new) {
            Ok(made) => return Ok((made, new)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
