//! The run folder: `config.toml`, `metrics.jsonl`, TensorBoard events, `checkpoints/`, `samples/`, and a
//! lock that lets one process at a time train in it.

mod claim;
mod holder;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use files::{Identity, Support};
use tracing::warn;

use crate::error::TrainerError;
use crate::evaluations::{self, EvaluationRecord};
use crate::metrics::{self, Record};
use crate::tensorboard;
use holder::holder;

pub use claim::Claim;

/// What a run writes in its folder. A link in place of one of these would redirect the writing.
const OWN: [&str; 10] = [
    "config.toml",
    "metrics.jsonl",
    "evaluations.jsonl",
    "run.lock",
    "checkpoints",
    "samples",
    "averages",
    "evaluations",
    "best",
    "ranks",
];

/// The folder of one run, locked as long as this value lives. The system releases the lock when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

impl RunFolder {
    /// Makes the folder if it does not exist, and locks it. A file system without locks or folder syncing only gets a
    /// warning.
    ///
    /// # Errors
    /// [`TrainerError::InUse`] when another process holds it, [`TrainerError::Link`] when there is a link where a run
    /// writes, [`TrainerError::File`] when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        Self::open_with(path, files::try_lock, files::try_sync_dir)
    }

    fn open_with(
        path: &Path,
        try_lock: impl Fn(&File, &Path) -> Result<Support, TryLockError>,
        try_sync_dir: impl Fn(&Path) -> io::Result<Support>,
    ) -> Result<Self, TrainerError> {
        files::make_folder(path).map_err(TrainerError::file(path))?;
        let own = OWN.map(|name| path.join(name));
        if let Some(link) = own.into_iter().find(|own| own.is_symlink()) {
            return Err(TrainerError::Link { path: link });
        }
        for folder in [path.join("checkpoints"), path.join("samples")] {
            files::make_folder(&folder).map_err(TrainerError::file(&folder))?;
        }
        let lock_path = path.join("run.lock");
        let opened = files::open_own(&lock_path, OpenOptions::new().create(true).read(true).write(true));
        let mut lock = opened.map_err(TrainerError::file(&lock_path))?;
        match try_lock(&lock, &lock_path) {
            Ok(Support::Given) => {}
            Ok(Support::Missing(error)) => warn!(
                "{}: this file system has no locks ({error}): make sure that no other process trains here",
                path.display()
            ),
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut lock).map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                return Err(TrainerError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(TrainerError::file(&lock_path)(e)),
        }
        let identity = Identity::of(&lock).map_err(TrainerError::file(&lock_path))?;
        let folder = Self { path: path.to_owned(), identity, _lock: lock };
        // The file may have been removed between opening and locking.
        folder.check()?;
        let mut lock = &folder._lock;
        let note_holder = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        note_holder.map_err(TrainerError::file(&lock_path))?;
        if let Support::Missing(error) = try_sync_dir(path).map_err(TrainerError::file(path))? {
            warn!(
                "{}: this file system cannot sync a folder ({error}): a power loss may cost the newest checkpoint",
                path.display()
            );
        }
        for folder in [path.to_owned(), path.join("samples")] {
            files::remove_leftovers(&folder).map_err(TrainerError::file(&folder))?;
        }
        Ok(folder)
    }

    /// A claim that can later tell whether this is still the locked folder.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { path: self.path.clone(), identity: self.identity }
    }

    /// Checks that this is still the locked folder; called before every write to it.
    ///
    /// # Errors
    /// Those of [`Claim::check`].
    pub fn check(&self) -> Result<(), TrainerError> {
        self.claim().check()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the resolved configuration.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Folder of the averages that are kept permanently.
    #[must_use]
    pub fn averages(&self) -> PathBuf {
        self.path.join("averages")
    }

    /// Folder of the checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Folder of the periodic samples.
    #[must_use]
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// The records of a run, which need not be locked.
    ///
    /// # Errors
    /// [`TrainerError::File`], or [`TrainerError::Metrics`] for a file that this program did not write.
    pub fn read_metrics(path: &Path) -> Result<Vec<Record>, TrainerError> {
        metrics::read(&path.join("metrics.jsonl"))
    }

    pub(crate) fn append_record(&self, record: &Record) -> Result<(), TrainerError> {
        self.check()?;
        metrics::append(&self.path.join("metrics.jsonl"), record)
    }

    pub(crate) fn drop_records_after(&self, step: u64) -> Result<(), TrainerError> {
        self.check()?;
        metrics::truncate_after::<Record>(&self.path.join("metrics.jsonl"), step)?;
        metrics::truncate_after::<EvaluationRecord>(&self.path.join(evaluations::FILE), step)
    }

    /// Cuts the TensorBoard events of later steps that earlier processes wrote. They are for viewing only, so a failure is
    /// a warning.
    pub(crate) fn drop_events_after(&self, step: u64) -> Result<(), TrainerError> {
        self.check()?;
        if let Err(error) = tensorboard::cut_after(&self.path, step) {
            warn!("TensorBoard will show some steps twice: {error}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    /// As on a file system without flock, or without fsync for folders.
    #[test]
    fn what_a_file_system_lacks_does_not_stop_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let missing = || Support::Missing(io::ErrorKind::Unsupported.into());
        let held = RunFolder::open_with(folder.path(), |_, _| Ok(missing()), |_| Ok(missing())).unwrap();
        held.append_record(&crate::Interval::default().finish(1, 0.1, 1.0)).unwrap();
        assert_eq!(RunFolder::read_metrics(folder.path()).unwrap().len(), 1);
        let failing = || io::Error::other("broken");
        let lock = RunFolder::open_with(
            folder.path(),
            |_, _| Err(TryLockError::Error(failing())),
            |_| Ok(missing()),
        );
        let sync = RunFolder::open_with(folder.path(), |_, _| Ok(missing()), |_| Err(failing()));
        assert!(
            lock.unwrap_err().to_string().contains("broken")
                && sync.unwrap_err().to_string().contains("broken")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_recreated_folder_is_not_written_by_the_old_holder() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let old = RunFolder::open(&run).unwrap();
        fs::remove_dir_all(&run).unwrap();
        assert!(matches!(old.check(), Err(TrainerError::Replaced { .. })));
        let new = RunFolder::open(&run).unwrap();
        let record = crate::Interval::default().finish(1, 0.1, 1.0);
        assert!(matches!(old.append_record(&record), Err(TrainerError::Replaced { .. })));
        assert!(matches!(old.drop_records_after(0), Err(TrainerError::Replaced { .. })));
        assert!(!run.join("metrics.jsonl").exists());
        new.append_record(&record).unwrap();
        // Only the lock file was replaced, by someone who took it for a leftover.
        fs::remove_file(run.join("run.lock")).unwrap();
        assert!(new.check().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        for name in OWN {
            let run = folder.path().join(format!("run-{name}"));
            fs::create_dir(&run).unwrap();
            fs::write(&outside, "kept").unwrap();
            std::os::unix::fs::symlink(&outside, run.join(name)).unwrap();
            let error = RunFolder::open(&run).unwrap_err();
            assert!(matches!(&error, TrainerError::Link { path } if path.ends_with(name)), "{error}");
            assert_eq!(fs::read(&outside).unwrap(), b"kept");
        }
        // The run folder itself may be reached through a link.
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        std::os::unix::fs::symlink(&run, folder.path().join("link")).unwrap();
        RunFolder::open(&folder.path().join("link")).unwrap();
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
