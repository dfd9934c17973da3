//! Cleans up temporary files that a process left when it was killed while writing.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

/// Removes files under construction from a folder, but not from its subfolders. Call it only while nobody writes to the
/// folder, for example while holding its lock.
///
/// # Errors
/// Any error of reading the folder or removing a file.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        match remove_leftover(&entry?) {
            // Another process that was testing whether it can write here has removed its own file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

fn remove_leftover(entry: &DirEntry) -> io::Result<()> {
    if is_temporary(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_file() {
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

/// Whether a name has the form that [`crate::PendingFile`] gives: `.NAME.PROCESS-ATTEMPT.tmp`.
fn is_temporary(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let Some((_, numbers)) = inner.and_then(|inner| inner.rsplit_once('.')) else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split_once('-').is_some_and(|(process, attempt)| number(process) && number(attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PendingFile;

    #[test]
    fn only_files_under_construction_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // Not dropped, as when a process is killed.
        std::mem::forget(PendingFile::create(&at("config.toml")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(at(".a.b.77-3.tmp"), "").unwrap();
        let kept =
            ["config.toml", ".hidden", ".a.tmp", ".a.x-1.tmp", ".a.1-.tmp", "a.1-2.tmp", ".a.1-2.tmp.png"];
        kept.iter().for_each(|name| fs::write(at(name), "").unwrap());
        fs::create_dir(at(".a.1-2.tmp")).unwrap();
        remove_leftovers(folder.path()).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, kept.len() + 1);
        assert!(kept.iter().all(|name| at(name).exists()) && at(".a.1-2.tmp").is_dir());
        assert!(remove_leftovers(&at("nowhere")).is_err());
    }

    /// Two runs may start in one folder, so a listed file may be gone by the time it is removed.
    #[test]
    fn a_file_removed_by_another_process_is_not_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|_| crate::try_folder(folder.path()).unwrap()));
                scope.spawn(|| (0..500).for_each(|_| remove_leftovers(folder.path()).unwrap()));
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
