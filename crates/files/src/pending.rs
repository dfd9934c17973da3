//! A file under construction: it gets its name when it is complete, and is removed if it is abandoned.

use std::env;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::faults;
use crate::support::sync_file;
use crate::target::{Target, keep, new_file, open_stream};
use crate::trial::again_when_gone;

/// How many characters of a file's name its temporary name keeps; with all of them the longest names would be too long.
const NAME_CHARS: usize = 48;

/// A hidden temporary file beside its final path, removed on drop unless committed.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    /// Write to what is at `path` instead of replacing it.
    into_stream: bool,
    committed: bool,
}

impl PendingFile {
    /// Creates an empty file in the folder of `path`, for the program's own folders. A link at `path` will be replaced.
    ///
    /// # Errors
    /// Any error of the file system; `InvalidInput` if `path` has no file name, or names a pipe or a device.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::of(Target::own(path)?)
    }

    /// Creates an empty file for an output that a user names. Links are followed and missing folders created. The file
    /// keeps the mode of the file it replaces and, where the system allows it, the owner. For a pipe or a character
    /// device the bytes are collected in the system's temporary folder, and [`PendingFile::commit`] copies them.
    ///
    /// # Errors
    /// Any error of the file system; `InvalidInput` or `IsADirectory` if `path` names something other than a file, a
    /// pipe or a character device.
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

    /// Writes the whole content.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = BufWriter::new(self.reopen()?);
        crate::halves(&mut out, &self.path, bytes)?;
        out.flush()
    }

    /// A second handle to the file; both share one position.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn reopen(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Removes the name while the file stays open, where the system allows it. Then nothing is left even if the program
    /// is killed, and the file cannot be committed.
    pub fn forget_name(&mut self) {
        // Another file may now take the name, so drop must not remove it.
        self.committed = fs::remove_file(&self.temporary).is_ok();
    }

    /// Syncs the content, renames the file to its final name, and syncs the folder. For a pipe or a device it copies
    /// the content.
    ///
    /// # Errors
    /// Any error of the file system; what was at the final path is then unchanged.
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
            // Nothing can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Creates a hidden new file beside `path`; returns it with its name.
pub(crate) fn temporary(path: &Path, before: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    under_new_name(path, |name| new_file(before).open(name))
}

/// Calls `make` with a new name beside `path`, `.NAME.PROCESS-ATTEMPT.tmp`, until one is free.
pub(crate) fn under_new_name<T>(
    path: &Path,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let name: String =
        path.file_name().unwrap_or_default().to_string_lossy().chars().take(NAME_CHARS).collect();
    // Another process, or another thread of this process, may be writing the same file.
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
