//! A claim on a run folder: writers check it, because the lock is on a file that others may remove.

use std::path::{Path, PathBuf};

use files::Identity;

use crate::error::TrainerError;
use crate::evaluations::{self, EvaluationRecord};
use crate::metrics;

/// Tells whether a run folder is still the one that was locked.
#[derive(Debug, Clone)]
pub struct Claim {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
}

impl Claim {
    /// The run folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an evaluation to `evaluations.jsonl`.
    ///
    /// # Errors
    /// Those of [`Claim::check`], and file system errors.
    pub fn append_evaluation(&self, record: &EvaluationRecord) -> Result<(), TrainerError> {
        self.check()?;
        metrics::append(&self.path.join(evaluations::FILE), record)
    }

    /// Checks the claim. The lock is on a file, so if the folder is removed and made again, another process may hold a lock
    /// there.
    ///
    /// # Errors
    /// [`TrainerError::Replaced`]; [`TrainerError::File`] when the folder cannot be inspected.
    pub fn check(&self) -> Result<(), TrainerError> {
        let lock = self.path.join("run.lock");
        match self.identity.is_at(&lock) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TrainerError::Replaced { path: self.path.clone() }),
            Err(error) => Err(TrainerError::file(&lock)(error)),
        }
    }
}
