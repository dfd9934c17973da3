//! Fault injection for crash tests. With the feature `faults`, each write point that a program passes can abort it, or
//! fail as if the disk were full from there on. Without the feature a point does nothing.
//!
//! `DDPM_FAULT=POINT:N` aborts the N-th time a point is passed, counting from 1. `POINT:N:full` makes that pass and
//! every later pass of any point fail as on a full disk. `POINT:N:unsupported` makes that pass and every later pass of
//! this point fail as on a file system that lacks the operation. `DDPM_FAULT=NAME:STEP` is for faults that are not
//! write points; the program checks for them with [`is_due`]. `DDPM_FAULT_LOG` names a file that gets one line per
//! pass: the point and the path.

use std::io;
use std::path::Path;

/// Passes a point, and fails there if a fault is requested.
///
/// # Errors
/// `StorageFull` or `Unsupported` where such a fault is requested; never without the feature.
pub fn pass(point: &str, path: &Path) -> io::Result<()> {
    on_demand::pass(point, path)
}

/// Whether the fault of this name is requested in this step; always false without the feature.
#[must_use]
pub fn is_due(name: &str, step: u64) -> bool {
    on_demand::is_due(name, step)
}

#[cfg(not(feature = "faults"))]
mod on_demand {
    use super::{Path, io};

    #[inline]
    pub(super) fn pass(_: &str, _: &Path) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(super) fn is_due(_: &str, _: u64) -> bool {
        false
    }
}

#[cfg(feature = "faults")]
mod on_demand {
    use super::{Path, io};
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::{LazyLock, Mutex, PoisonError};

    /// A requested fault: a name, a number, and how it fails.
    struct Asked {
        name: String,
        number: u64,
        way: Way,
    }

    /// How a point fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Way {
        Abort,
        Full,
        Unsupported,
    }

    static ASKED: LazyLock<Option<Asked>> = LazyLock::new(|| asked(&std::env::var("DDPM_FAULT").ok()?));

    /// How often each point has been passed, and whether the disk counts as full.
    static SEEN: LazyLock<Mutex<(HashMap<String, u64>, bool)>> = LazyLock::new(Mutex::default);

    fn asked(text: &str) -> Option<Asked> {
        let mut parts = text.split(':');
        let (name, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let way = match parts.next() {
            Some("full") => Way::Full,
            Some("unsupported") => Way::Unsupported,
            _ => Way::Abort,
        };
        Some(Asked { name, number, way })
    }

    pub(super) fn pass(point: &str, path: &Path) -> io::Result<()> {
        if let Some(log) = std::env::var_os("DDPM_FAULT_LOG") {
            let mut log = OpenOptions::new().create(true).append(true).open(log)?;
            // One write call, so that lines from two threads stay whole.
            log.write_all(format!("{point} {}\n", path.display()).as_bytes())?;
        }
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (passages, full) = &mut *seen;
        let passage = passages.entry(point.to_owned()).or_insert(0);
        *passage += 1;
        if let Some(asked) = ASKED.as_ref().filter(|asked| asked.name == point && asked.number <= *passage) {
            match asked.way {
                Way::Unsupported => return Err(io::ErrorKind::Unsupported.into()),
                Way::Full => *full = true,
                Way::Abort if asked.number == *passage => std::process::abort(),
                Way::Abort => {}
            }
        }
        if *full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn is_due(name: &str, step: u64) -> bool {
        ASKED.as_ref().is_some_and(|asked| asked.name == name && asked.number == step)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn fault_requests_are_parsed() {
            let read = |text| asked(text).map(|a| (a.name, a.number, a.way));
            assert_eq!(read("renamed:3"), Some(("renamed".to_owned(), 3, Way::Abort)));
            assert_eq!(read("renamed:3:full"), Some(("renamed".to_owned(), 3, Way::Full)));
            assert_eq!(read("lock:1:unsupported"), Some(("lock".to_owned(), 1, Way::Unsupported)));
            assert_eq!(read("nan-loss:0"), Some(("nan-loss".to_owned(), 0, Way::Abort)));
            assert_eq!(read("list"), None);
        }

        #[test]
        fn nothing_fails_without_a_request() {
            assert!(pass("renamed", Path::new("a")).is_ok() && !is_due("nan-loss", 0));
        }
    }
}
