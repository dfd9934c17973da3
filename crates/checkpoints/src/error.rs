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
    TensorFile(#[from] TensorFileError),
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

    /// Something in the checkpoint, or of it, is not the expected thing.
    pub fn altered(path: &Path, what: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Altered { path: path.to_owned(), what, expected, found }
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
