//! What a file system may lack. Some network and user-space file systems have no locks, or cannot sync a folder. Work goes
//! on without them there; whoever opens a folder asks once and tells the user.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::faults;

/// Whether the file system did what was asked.
#[derive(Debug)]
#[must_use]
pub enum Support {
    /// It did.
    Given,
    /// It has no such operation, and says so with this error.
    Missing(io::Error),
}

/// Whether an error says that the file system has no such operation, as opposed to one that failed.
#[cfg(unix)]
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // Linux answers EINVAL when a file cannot be synced at all, and ENOLCK for flock where a server has no locks.
    let lacking = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOLCK, Errno::INVAL, Errno::NOTTY];
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| lacking.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether an error says that the file system has no such operation, as opposed to one that failed.
#[cfg(not(unix))]
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Locks a file for this process, without waiting. `path` is that of the file.
///
/// # Errors
/// `WouldBlock` while another process holds it; those of the file system.
pub fn try_lock(file: &File, path: &Path) -> Result<Support, TryLockError> {
    let locked = faults::pass("lock", path).map_err(TryLockError::Error).and_then(|()| file.try_lock());
    match locked {
        Ok(()) => Ok(Support::Given),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => Ok(Support::Missing(error)),
        Err(error) => Err(error),
    }
}

/// Makes the entries of a folder survive a power loss, and says whether the file system can.
///
/// # Errors
/// Any error of opening or syncing the folder.
pub fn try_sync_dir(folder: &Path) -> io::Result<Support> {
    // Only Unix lets a folder be opened as a file; elsewhere the rename itself is all there is.
    if !cfg!(unix) {
        return Ok(Support::Given);
    }
    let opened = File::open(folder)?;
    support(faults::pass("dir-sync", folder).and_then(|()| opened.sync_all()))
}

/// Makes the content of a file survive a power loss, where the file system can.
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
    fn lacking_is_told_from_failing() {
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
