//! Files appear complete or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::FiguresError;

/// Writes a file under another name beside `path`, syncs it, and renames it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FiguresError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    let aside = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&aside);
        FiguresError::Write { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::write_file;
    use crate::error::FiguresError;

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        write_file(&path, b"first").unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_the_file_that_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("a.png");
        assert!(matches!(write_file(&path, b""), Err(FiguresError::Write { path: p, .. }) if p == path));
    }
}
