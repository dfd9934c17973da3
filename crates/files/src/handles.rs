//! Open files: how many a process may have, and the error of one too many.

use std::io;

/// How many files this process may have open at once (the soft limit, `ulimit -n`). `None` without a limit.
#[cfg(unix)]
#[must_use]
pub fn open_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// How many files this process may have open at once. `None` without a limit.
#[cfg(not(unix))]
#[must_use]
pub fn open_limit() -> Option<u64> {
    None
}

/// Whether a file cannot be opened because this process, or the whole system, has too many open. The file itself may be
/// whole.
#[cfg(unix)]
#[must_use]
pub fn is_out_of_handles(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let full = [Errno::MFILE, Errno::NFILE];
    error.raw_os_error().is_some_and(|code| full.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether a file cannot be opened because too many are open.
#[cfg(not(unix))]
#[must_use]
pub fn is_out_of_handles(_error: &io::Error) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn too_many_open_files_are_distinguished_from_other_errors() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(is_out_of_handles(&error(Errno::MFILE)) && is_out_of_handles(&error(Errno::NFILE)));
        for errno in [Errno::NOENT, Errno::IO, Errno::NOSPC, Errno::NOMEM] {
            assert!(!is_out_of_handles(&error(errno)), "{errno}");
        }
        assert!(!is_out_of_handles(&io::ErrorKind::NotFound.into()));
    }

    #[test]
    fn this_process_may_open_files() {
        // Standard input, output and error are open.
        assert!(open_limit().is_none_or(|limit| limit >= 3));
    }
}
