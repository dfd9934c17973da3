//! Checks whether an output can be written, before the work for it starts. A check leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::pending::{temporary, under_new_name};
use crate::target::{Target, is_pipe, open_stream};

/// Checks whether [`crate::write_output`] could write this file now. Creates missing folders and a temporary file, and
/// removes them again. A pipe is not opened, because its reader would take the end of the check for the end of the
/// data.
///
/// # Errors
/// Whatever would keep the file from being written. A disk that fills up later cannot be foreseen.
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

/// Checks whether files could be written to this folder now. The folder need not exist.
///
/// # Errors
/// Whatever would keep a file from being written.
pub fn try_folder(path: &Path) -> io::Result<()> {
    folder(path).map_err(|error| explained(path, error))
}

fn folder(path: &Path) -> io::Result<()> {
    again_when_gone(|| try_name(path, OsStr::new("trial")))
}

/// Creates a folder and its parents, while other processes may be checking the same paths.
///
/// # Errors
/// Any error of the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    again_when_gone(|| fs::create_dir_all(path))
}

/// Retries an operation that lost a folder it had just created, because another process checked the same new path and
/// removed it.
pub(crate) fn again_when_gone<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    /// Each retry needs another process that checks the same path.
    const ATTEMPTS: usize = 50;
    // `create_dir_all` returns `AlreadyExists` when a folder existed and then vanished.
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

/// Names the path component that is a file, which the system's error does not.
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
        // A run that starts in the same folder removes such files.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a file of this name into the folder and removes it. Missing folders are created inside a temporary one.
/// Others may be checking the same path, and nobody could tell whose the folders are.
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

/// A path to a folder, split into the part that exists and the part to create.
struct Way {
    there: PathBuf,
    missing: PathBuf,
}

impl Way {
    fn to(path: &Path) -> io::Result<Self> {
        let (mut there, mut missing) = (PathBuf::new(), PathBuf::new());
        for part in path.components() {
            // Created folders are never links, so `..` leads back to the parent.
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
    fn a_check_leaves_nothing() {
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

    /// A folder that one check created must not stay because another check was in it at that moment.
    #[test]
    fn concurrent_checks_of_one_path_leave_nothing() {
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

    /// Each creates the folder and removes it while the others use it.
    #[test]
    fn concurrent_checks_of_one_path_succeed() {
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
    fn errors_name_what_cannot_be_written() {
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
    fn a_dangling_link_is_not_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [link.clone(), link.join("below")] {
            let error = try_folder(&path).unwrap_err().to_string();
            assert!(error.ends_with("is a link to a folder that does not exist"), "{error}");
        }
        // As a file the link is valid.
        try_output(&link).unwrap();
    }
}
