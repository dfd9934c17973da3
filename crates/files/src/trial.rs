//! Whether an output can be written, tried before the work for it begins. A trial leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::pending::{temporary, under_new_name};
use crate::target::{Target, is_pipe, open_stream};

/// Whether [`crate::write_output`] could write this file now. Makes missing folders and a temporary file, and removes
/// them again. A pipe is not opened, because its reader would take the end of the trial for the end of the data.
///
/// # Errors
/// What would keep the file from being written; a disk that fills up later cannot be known.
pub fn try_output(path: &Path) -> io::Result<()> {
    output(path).map_err(|error| explained(path, error))
}

fn output(path: &Path) -> io::Result<()> {
    match Target::output(path)? {
        Target::Stream(path) if is_pipe(&path) => Ok(()),
        Target::Stream(path) => open_stream(&path).map(drop),
        Target::File { path, .. } => {
            again_when_gone(|| try_name(crate::parent(&path), path.file_name().unwrap_or_default()))
        }
    }
}

/// Whether files could be written into this folder now, which need not be there.
///
/// # Errors
/// What would keep a file from being written.
pub fn try_folder(path: &Path) -> io::Result<()> {
    folder(path).map_err(|error| explained(path, error))
}

fn folder(path: &Path) -> io::Result<()> {
    again_when_gone(|| try_name(path, OsStr::new("trial")))
}

/// Makes a folder and those above it, while other processes may be trying the same names.
///
/// # Errors
/// Those of the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    again_when_gone(|| fs::create_dir_all(path))
}

/// Tries again what found a folder missing that it had just made: another process tried the same new name and took it
/// away.
pub(crate) fn again_when_gone<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    /// Each time, another process has to be trying the same name.
    const ATTEMPTS: usize = 50;
    // `AlreadyExists` is what making a folder says when it was there and then was not.
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists];
    let gone = |result: &io::Result<T>| matches!(result, Err(error) if kinds.contains(&error.kind()));
    let mut result = attempt();
    for _ in 1..ATTEMPTS {
        if !gone(&result) {
            break;
        }
        result = attempt();
    }
    result
}

/// The system does not say which of the names on the way is a file.
fn explained(path: &Path, error: io::Error) -> io::Error {
    let is_file = |path: &&Path| path.exists() && !path.is_dir();
    match path.ancestors().skip(1).find(is_file) {
        Some(file) if error.kind() == io::ErrorKind::NotADirectory => {
            let text = format!("{} is a file, expected a folder", file.display());
            io::Error::new(error.kind(), text)
        }
        _ => error,
    }
}

fn remove(temporary: PathBuf) -> io::Result<()> {
    match fs::remove_file(temporary) {
        // A run that starts in the same folder clears away such files.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a file of this name into the folder and removes it. Missing folders are made inside one of a new name: others
/// may try the same path now, and none could tell whose the folders are.
fn try_name(folder: &Path, name: &OsStr) -> io::Result<()> {
    let Way { there, missing } = Way::to(folder)?;
    if missing.as_os_str().is_empty() {
        if !fs::metadata(&there)?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "expected a folder or a new name, found a file",
            ));
        }
        return remove(temporary(&there.join(name), None)?.1);
    }
    let ((), alone) = under_new_name(&there.join("trial"), |name| fs::create_dir(name))?;
    let folder = alone.join(missing);
    let tried = fs::create_dir_all(&folder).and_then(|()| temporary(&folder.join(name), None).map(drop));
    fs::remove_dir_all(alone)?;
    tried
}

/// A path to a folder: the part of it that is there, and the part that is to be made.
struct Way {
    there: PathBuf,
    missing: PathBuf,
}

impl Way {
    fn to(path: &Path) -> io::Result<Self> {
        let (mut there, mut missing) = (PathBuf::new(), PathBuf::new());
        for part in path.components() {
            // What is made is no link, so `..` leads back to where it was made.
            if part == Component::ParentDir && missing.pop() {
                continue;
            }
            let next = there.join(part);
            if missing.as_os_str().is_empty() && next.exists() {
                there = next;
            } else if missing.as_os_str().is_empty() && next.is_symlink() {
                let found = format!("{} is a link to a folder that does not exist", next.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, found));
            } else {
                missing.push(part);
            }
        }
        // The path of the current folder can be empty.
        Ok(Self { there: Path::new(".").join(there), missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        try_output(&at("a/b/c.npy")).unwrap();
        try_folder(&at("a/b")).unwrap();
        try_folder(&at("new/../other")).unwrap();
        try_folder(&at("new/../../")).unwrap();
        try_output(&at("new/../../new.npy")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::create_dir(at("kept")).unwrap();
        try_folder(&at("kept")).unwrap();
        try_folder(&at("kept/new")).unwrap();
        assert_eq!(fs::read_dir(at("kept")).unwrap().count(), 0);
    }

    /// A folder that a trial made must not stay because another trial was in it at that moment.
    #[test]
    fn trials_of_one_new_name_at_once_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a/run");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (run, file) = (run.clone(), run.join(format!("{number}.npy")));
                scope.spawn(move || {
                    for _ in 0..300 {
                        try_folder(&run).unwrap();
                        try_output(&file).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Each makes the folder and removes it under the others.
    #[test]
    fn trials_of_one_new_name_at_once_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (run, file) = (at("run"), at(&format!("run/{number}.npy")));
                scope.spawn(move || {
                    for _ in 0..300 {
                        try_folder(&run).unwrap();
                        try_output(&file).unwrap();
                        make_folder(&run).unwrap();
                        drop(crate::PendingFile::create_output(&file).unwrap());
                        let _ = fs::remove_dir(&run);
                    }
                });
            }
        });
        assert!(!at("run").exists());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "mine").unwrap();
        fs::create_dir(at("folder")).unwrap();
        for below in ["file/out", "file/out/deeper"] {
            for error in [try_folder(&at(below)).unwrap_err(), try_output(&at(below)).unwrap_err()] {
                assert!(error.to_string().ends_with("file is a file, expected a folder"), "{below}: {error}");
            }
        }
        assert_eq!(try_folder(&at("file")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(try_output(&at("folder")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(try_output(&at("..")).is_err() && try_output(&at(&"x".repeat(300))).is_err());
        assert!(try_folder(&at(&"x/".repeat(3000))).is_err());
        assert_eq!(fs::read(at("file")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [link.clone(), link.join("below")] {
            let error = try_folder(&path).unwrap_err().to_string();
            assert!(error.ends_with("is a link to a folder that does not exist"), "{error}");
        }
        // As a file it is one.
        try_output(&link).unwrap();
    }
}
