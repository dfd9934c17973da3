//! Checks whether a path still names the file that was opened. Another process may have replaced it.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Tells a file from every other file on the same machine, as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of an open file.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    /// Whether `path` names this very file, and not a link to it.
    ///
    /// # Errors
    /// Any error of the file system, except that a path that names nothing gives `false`.
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

    /// On other systems an open file cannot be removed, so all identities are equal.
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
    fn a_recreated_file_is_a_different_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = File::create(&path).unwrap();
        let identity = Identity::of(&file).unwrap();
        assert!(identity.is_at(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!identity.is_at(&path).unwrap());
        // The inode number of an open file is not reused.
        fs::write(&path, "").unwrap();
        assert!(!identity.is_at(&path).unwrap());
        assert!(!identity.is_at(&path.join("b")).unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!Identity::of(&File::open(&path).unwrap()).unwrap().is_at(&link).unwrap());
    }
}
