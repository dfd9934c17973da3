//! Whether a path still names the file that was opened. Another process may have removed it and made a new one.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// What tells a file from every other on the same machine, as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// That of an open file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    /// Whether `path` names this very file, and not a link to it.
    ///
    /// # Errors
    /// Those of the file system; a path that names nothing is none.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(found) => Ok(Self::from_metadata(&found) == *self),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn from_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Elsewhere an open file cannot be removed, so all are taken for the same.
    #[cfg(not(unix))]
    fn from_metadata(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_file_made_anew_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = File::create(&path).unwrap();
        let identity = Identity::of(&file).unwrap();
        assert!(identity.is_at(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!identity.is_at(&path).unwrap());
        // The number of a file that is still open is not given away again.
        fs::write(&path, "").unwrap();
        assert!(!identity.is_at(&path).unwrap());
        assert!(!identity.is_at(&path.join("b")).unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!Identity::of(&File::open(&path).unwrap()).unwrap().is_at(&link).unwrap());
    }
}
