//! Opens files that may not be regular. A reader of a named pipe waits for a writer, and a device may never end.
//!
//! Reading follows links, since people keep large files on other disks. Writing in place does not: a link in a folder
//! from elsewhere could point to any file of the user ([`open_own`]).

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file, or a link to one, for reading. Never blocks.
///
/// # Errors
/// `InvalidInput` for anything else (a folder, a pipe, a socket, a device); any error of the file system.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a device can have side effects, so check the kind first. Check it again afterwards, since another process
    // may have replaced the file.
    check(fs::metadata(path)?.file_type())?;
    let file = without_waiting(OpenOptions::new().read(true), true).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; `FileTooLarge` for a larger file.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large(limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // Read one byte more than allowed: the file may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

/// Opens a regular file with `options`, for reading and writing in place. A link is refused.
///
/// # Errors
/// `InvalidInput` for a link or anything else that is not a regular file; any error of the file system.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(found) => check(found.file_type())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = without_waiting(options, false).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Whether an error of [`open_regular`] or its relatives means that the path is not a regular file.
#[must_use]
pub fn is_irregular(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Irregular>())
}

/// What was found instead of a regular file.
#[derive(Debug)]
struct Irregular(&'static str);

impl std::fmt::Display for Irregular {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected a regular file, found {}", self.0)
    }
}

impl std::error::Error for Irregular {}

fn check(kind: FileType) -> io::Result<()> {
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a link",
        () => "a pipe, a socket or a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, Irregular(found)))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("expected at most {limit} bytes, found more"))
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions, follow: bool) -> &OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = if follow { OFlags::NONBLOCK } else { OFlags::NONBLOCK | OFlags::NOFOLLOW };
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
}

#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions, _: bool) -> &OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        let mut text = String::new();
        open_regular(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");

        let error = open_regular(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("found a folder") && is_irregular(&error), "{error}");
        let missing = open_regular(&folder.path().join("b")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(!is_irregular(&missing));
    }

    #[test]
    fn a_file_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        assert_eq!(read_regular(&path, 4).unwrap(), b"text");
        assert_eq!(read_regular(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // A sparse file: it is refused by its length.
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_regular(&path, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&path, &pipe, Path::new("/dev/zero")] {
            let error = open_regular(path).unwrap_err();
            assert!(is_irregular(&error), "{}: {error}", path.display());
            let error = open_own(path, File::options().append(true)).unwrap_err();
            assert!(is_irregular(&error), "{}: {error}", path.display());
        }
    }

    #[cfg(unix)]
    #[test]
    fn reading_follows_links_and_writing_in_place_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(read_regular(&link, 4).unwrap(), b"kept");
        let error = open_own(&link, File::options().write(true).truncate(true)).unwrap_err();
        assert!(error.to_string().contains("found a link"), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        let new = folder.path().join("new");
        assert_eq!(
            open_own(&new, File::options().create(true).append(true)).unwrap().metadata().unwrap().len(),
            0
        );
    }
}
