//! What a process that was killed while writing has left under its temporary name.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

/// Removes the files under construction from a folder, not from those below it. Only for a folder in which nobody
/// writes now, as one that is locked.
///
/// # Errors
/// Any error of reading the folder or of removing a file.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        match remove_leftover(&entry?) {
            // Another process, which tries whether it could write here, has removed its own.
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

/// Whether a name is one that [`crate::PendingFile`] gives: `.NAME.PROCESS-ATTEMPT.tmp`.
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
    fn only_files_under_construction_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // Not dropped, as in a process that is killed.
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

    /// As where two runs start in one folder: what was listed may be gone when it is to be removed.
    #[test]
    fn what_others_remove_meanwhile_is_no_failure() {
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
