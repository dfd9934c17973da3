//! Why a checkpoint is refused, or not written.

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
        /// What the system says.
        source: io::Error,
    },
    /// A file of a checkpoint is there and cannot be read. That says nothing about what is in it.
    #[error(
        "{}: cannot be read: {source}; nothing was changed: make it readable (permissions, disk, mount), or move its \
         checkpoint's folder away to use the one before",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what was written, or belongs to something else.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Altered {
        /// The file or folder.
        path: PathBuf,
        /// What of it, `size` for example.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file holds another tensor than the files beside it say.
    #[error("{}: tensor {}: expected {expected}, found {found}", path.display(), tensor.escape_debug())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file of tensors is none.
    #[error(transparent)]
    TensorFile(TensorFileError),
    /// The checkpoint is of a later program.
    #[error(
        "{}: format version: expected at most {expected}, found {found}; it was written by a newer version of \
         this program: update it",
        path.display()
    )]
    Version {
        /// The checkpoint's folder.
        path: PathBuf,
        /// The newest known.
        expected: u32,
        /// That of the checkpoint.
        found: u64,
    },
    /// A checkpoint could not be written, twice. Earlier ones are untouched.
    #[error("{}: the checkpoint cannot be saved: {}; {}", path.display(), cause(source), survivor(newest.as_deref()))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// The newest sound checkpoint beside it.
        newest: Option<PathBuf>,
    },
    /// There are checkpoints, and not one is sound.
    #[error(
        "{}: none of its {count} checkpoints is sound, the newest for this reason: {newest}; restore one from a \
         copy, or train in another --run folder",
        path.display()
    )]
    NoneSound {
        /// The folder of checkpoints.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// What is wrong with the newest.
        newest: Box<CheckpointError>,
    },
}

impl CheckpointError {
    /// For `map_err` on the errors of one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// A file that could not be opened or read. One that is not there, or ends early, is damage; anything else is in the
    /// way of reading it. A link to nothing is there: what it leads to may be on a disk that is not mounted.
    pub(crate) fn of_read(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{NotADirectory, NotFound, UnexpectedEof};
        let is_link = || path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        match source.kind() {
            NotFound | NotADirectory if !is_link() => Self::altered(path, "file", "one", "none"),
            UnexpectedEof => Self::altered(path, "size", "the bytes of its header", "fewer"),
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }

    /// Whether the checkpoint itself is at fault: a file is missing, or is not what was written. A file that cannot be
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

    /// Something in the checkpoint, or of it, is not the expected thing.
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

/// The system's words, with the plain ones before them where there are any.
fn cause(source: &io::Error) -> String {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull => format!("the disk is full ({source})"),
        QuotaExceeded => format!("the disk quota is used up ({source})"),
        FileTooLarge => format!("files may not grow that large here ({source})"),
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
    fn what_cannot_be_read_is_no_damage() {
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
