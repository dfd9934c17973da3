//! The run folder: `config.toml`, `metrics.jsonl`, TensorBoard events, `checkpoints/`, `samples/`, and a
//! lock that lets one process at a time train in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::TrainerError;
use crate::metrics::{self, Record};

/// How often the holder's note is read at most, and how far apart: a machine may be busy, but the note is all that the
/// holder does in between.
const HOLDER_READS: usize = 20;
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

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
                let holder = holder(&mut lock).map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                return Err(TrainerError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(TrainerError::file(&lock_path)(e)),
        }
        let note_holder = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        note_holder.map_err(TrainerError::file(&lock_path))?;
        for folder in [path.to_owned(), path.join("samples")] {
            files::remove_leftovers(&folder).map_err(TrainerError::file(&folder))?;
        }
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

/// The process that holds the lock, by the note it leaves in it.
fn holder(lock: &mut File) -> Option<String> {
    settled(|| {
        let mut pid = String::new();
        lock.rewind().and_then(|()| lock.read_to_string(&mut pid)).ok()?;
        Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty())
    })
}

/// The note that is read twice, some time apart. A holder notes its number just after it has the lock; until then there
/// is no note, or that of a holder before it.
fn settled(mut read: impl FnMut() -> Option<String>) -> Option<String> {
    let mut before = None;
    for _ in 0..HOLDER_READS {
        let now = read();
        if now.is_some() && now == before {
            return now;
        }
        before = now;
        thread::sleep(HOLDER_PAUSE);
    }
    before
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
    fn the_holder_that_is_named_is_not_the_one_before() {
        let settles = |notes: &[&str]| {
            // The last one stays.
            let mut at = 0..notes.len();
            settled(|| {
                let note = notes[at.next().unwrap_or(notes.len() - 1)];
                (!note.is_empty()).then(|| note.to_owned())
            })
        };
        assert_eq!(settles(&["41", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&["", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&["41", "", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&[""]), None);
    }

    #[test]
    fn what_a_killed_process_was_writing_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunFolder::open(folder.path()).unwrap());
        let half = ["run.lock", ".metrics.jsonl.1234-0.tmp", "samples/.step-1.png.1234-0.tmp", "notes.tmp"];
        half[1..].iter().for_each(|name| fs::write(folder.path().join(name), "half").unwrap());
        let _held = RunFolder::open(folder.path()).unwrap();
        assert_eq!(half.map(|name| folder.path().join(name).exists()), [true, false, false, true]);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::write(&path, "not a folder").unwrap();
        assert!(matches!(RunFolder::open(&path), Err(TrainerError::File { .. })));
    }
}
