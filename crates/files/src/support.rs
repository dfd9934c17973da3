//! Operations that a file system may lack. Some network and user-space file systems have no locks, or cannot sync a
//! folder. The program continues without them; whoever opens a folder checks once and tells the user.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::faults;

/// Whether the file system supports an operation.
#[derive(Debug)]
#[must_use]
pub enum Support {
    /// The operation succeeded.
    Given,
    /// The file system has no such operation; this is its error.
    Missing(io::Error),
}

/// Whether an error means that the file system lacks the operation, rather than that the operation failed.
#[cfg(unix)]
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // Linux returns EINVAL when a file cannot be synced at all, and ENOLCK for flock when a server has no locks.
    let lacking = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOLCK, Errno::INVAL, Errno::NOTTY];
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| lacking.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether an error means that the file system lacks the operation, rather than that the operation failed.
#[cfg(not(unix))]
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Locks a file for this process, without waiting. `path` is the file's path.
///
/// # Errors
/// `WouldBlock` while another process holds the lock; any error of the file system.
pub fn try_lock(file: &File, path: &Path) -> Result<Support, TryLockError> {
    let locked = faults::pass("lock", path).map_err(TryLockError::Error).and_then(|()| file.try_lock());
    match locked {
        Ok(()) => Ok(Support::Given),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => Ok(Support::Missing(error)),
        Err(error) => Err(error),
    }
}

/// Syncs a folder, so that its entries survive a power loss, and reports whether the file system can.
///
/// # Errors
/// Any error of opening or syncing the folder.
pub fn try_sync_dir(folder: &Path) -> io::Result<Support> {
    // Only Unix can open a folder as a file; other systems rely on the rename.
    if !cfg!(unix) {
        return Ok(Support::Given);
    }
    let opened = File::open(folder)?;
    support(faults::pass("dir-sync", folder).and_then(|()| opened.sync_all()))
}

/// Syncs the content of a file, so that it survives a power loss, where the file system can.
pub(crate) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    support(faults::pass("file-sync", path).and_then(|()| file.sync_all())).map(|_| ())
}

fn support(result: io::Result<()>) -> io::Result<Support> {
    match result {
        Ok(()) => Ok(Support::Given),
        Err(error) if is_unsupported(&error) => Ok(Support::Missing(error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn unsupported_is_distinguished_from_failed() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL] {
            assert!(is_unsupported(&error(errno)), "{errno}");
            assert!(matches!(support(Err(error(errno))), Ok(Support::Missing(_))));
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::STALE, Errno::AGAIN] {
            assert!(!is_unsupported(&error(errno)), "{errno}");
            assert!(support(Err(error(errno))).is_err());
        }
    }

    #[test]
    fn this_file_system_locks_and_syncs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (first, second) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert!(matches!(try_lock(&first, &path).unwrap(), Support::Given));
        assert!(matches!(try_lock(&second, &path), Err(TryLockError::WouldBlock)));
        assert!(matches!(try_sync_dir(folder.path()).unwrap(), Support::Given));
        assert!(try_sync_dir(&folder.path().join("none")).is_err());
    }
}
