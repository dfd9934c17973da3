//! The run folder: `config.toml`, `metrics.jsonl`, TensorBoard events, `checkpoints/`, `samples/`, and a
//! lock that lets one process at a time train in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainerError;
use crate::metrics::{self, Record};

/// A folder of one run, locked as long as this lives. The system lets go of the lock when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`TrainerError::InUse`] when another process holds it, [`TrainerError::File`] when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        for folder in [path.to_owned(), path.join("checkpoints"), path.join("samples")] {
            fs::create_dir_all(&folder).map_err(TrainerError::file(&folder))?;
        }
        let lock_path = path.join("run.lock");
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).read(true).write(true).open(&lock_path);
        let mut lock = opened.map_err(TrainerError::file(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let holder = if known { format!(" (pid {})", pid.trim()) } else { String::new() };
                return Err(TrainerError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(TrainerError::file(&lock_path)(e)),
        }
        let note_holder = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        note_holder.map_err(TrainerError::file(&lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the resolved configuration is kept.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Where the checkpoints are.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the periodic samples go.
    #[must_use]
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// The records of a run, which need not be locked for that.
    ///
    /// # Errors
    /// [`TrainerError::File`] and, for a file that is not of this program, [`TrainerError::Metrics`].
    pub fn read_metrics(path: &Path) -> Result<Vec<Record>, TrainerError> {
        metrics::read(&path.join("metrics.jsonl"))
    }

    pub(crate) fn append_record(&self, record: &Record) -> Result<(), TrainerError> {
        metrics::append(&self.path.join("metrics.jsonl"), record)
    }

    pub(crate) fn drop_records_after(&self, step: u64) -> Result<(), TrainerError> {
        metrics::truncate_after(&self.path.join("metrics.jsonl"), step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/run");
        let held = RunFolder::open(&path).unwrap();
        match RunFolder::open(&path) {
            Err(TrainerError::InUse { holder, .. }) => {
                assert!(holder.contains(&std::process::id().to_string()))
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::write(&path, "not a folder").unwrap();
        assert!(matches!(RunFolder::open(&path), Err(TrainerError::File { .. })));
    }
}
