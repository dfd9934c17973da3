//! Reasons why a checkpoint is refused or cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use tensor_file::TensorFileError;
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file or folder cannot be read, renamed or removed.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of a checkpoint exists but cannot be read. Its content may still be sound.
    #[error(
        "{}: cannot be read: {source}; nothing was changed; make it readable (permissions, disk, mount), or move its \
         checkpoint's folder away to use the previous one",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file differs from what was written, or belongs to something else.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Altered {
        /// The file or folder.
        path: PathBuf,
        /// Which property, for example `size`.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A file's tensor disagrees with the other files of the checkpoint.
    #[error("{}: tensor {}: expected {expected}, found {found}", path.display(), tensor.escape_debug())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A tensor file is not valid.
    #[error(transparent)]
    TensorFile(TensorFileError),
    /// A later version of the program wrote the checkpoint.
    #[error(
        "{}: format version: expected at most {expected}, found {found}; it was written by a newer version of \
         this program: update it",
        path.display()
    )]
    Version {
        /// The checkpoint's folder.
        path: PathBuf,
        /// The newest known version.
        expected: u32,
        /// The checkpoint's version.
        found: u64,
    },
    /// Writing a checkpoint failed twice. Earlier checkpoints are unchanged.
    #[error("{}: the checkpoint cannot be saved: {}; {}", path.display(), cause(source), survivor(newest.as_deref()))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
        /// The newest sound checkpoint in the same folder.
        newest: Option<PathBuf>,
    },
    /// There are checkpoints, but none is sound.
    #[error(
        "{}: found no sound checkpoint ({count} damaged); the newest: {newest}; restore one from a \
         backup, or train in another --run folder",
        path.display()
    )]
    NoneSound {
        /// The folder of checkpoints.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// What is wrong with the newest one.
        newest: Box<CheckpointError>,
    },
}

impl CheckpointError {
    /// For `map_err` on I/O errors of one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// A file that could not be opened or read. A missing or truncated file is damage; any other error only prevents
    /// reading. A dangling link counts as present: its target may be on a disk that is not mounted.
    pub(crate) fn of_read(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{NotADirectory, NotFound, UnexpectedEof};
        let is_link = || path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        match source.kind() {
            NotFound | NotADirectory if !is_link() => Self::altered(path, "file", "one", "none"),
            UnexpectedEof => Self::altered(path, "size", "the bytes of its header", "fewer"),
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }

    /// Whether the checkpoint itself is damaged: a file is missing, or is not what was written. A file that cannot be
    /// read, or that a newer program wrote, may be sound.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Altered { .. } | Self::Tensor { .. } => true,
            Self::TensorFile(error) => !matches!(error, TensorFileError::File { .. }),
            Self::File { .. }
            | Self::Unreadable { .. }
            | Self::Version { .. }
            | Self::Write { .. }
            | Self::NoneSound { .. } => false,
        }
    }

    /// Something about the checkpoint differs from what was expected.
    pub fn altered(path: &Path, what: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Altered { path: path.to_owned(), what, expected, found }
    }
}

impl From<TensorFileError> for CheckpointError {
    fn from(error: TensorFileError) -> Self {
        match error {
            TensorFileError::File { path, source } => Self::of_read(&path, source),
            error => Self::TensorFile(error),
        }
    }
}

/// The system's error, preceded by plain words for the common causes.
fn cause(source: &io::Error) -> String {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull => format!("the disk is full ({source})"),
        QuotaExceeded => format!("the disk quota is used up ({source})"),
        FileTooLarge => format!("the file would exceed the file size limit ({source})"),
        ReadOnlyFilesystem => format!("the disk is read-only ({source})"),
        _ => source.to_string(),
    }
}

fn survivor(newest: Option<&Path>) -> String {
    match newest {
        Some(path) => format!("the newest sound one is {}; make room and resume from it", path.display()),
        None => "there is no sound one before it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_file_is_not_damage() {
        use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied, UnexpectedEof};
        let of = |kind: io::ErrorKind| CheckpointError::of_read(Path::new("step-00000001/a"), kind.into());
        for kind in [NotFound, NotADirectory, UnexpectedEof] {
            assert!(of(kind).is_damage(), "{kind}");
        }
        // EIO, ESTALE and ELOOP have no stable kind.
        let raw = [5, 116, 40].map(|code| io::Error::from_raw_os_error(code).kind());
        for kind in raw.into_iter().chain([PermissionDenied, InvalidInput]) {
            let error = of(kind);
            assert!(
                !error.is_damage() && error.to_string().contains("step-00000001/a: cannot be read"),
                "{error}"
            );
            let path = PathBuf::from("step-00000001/a");
            let error = CheckpointError::from(TensorFileError::File { path, source: kind.into() });
            assert!(matches!(error, CheckpointError::Unreadable { .. }), "{error}");
        }
    }
}
