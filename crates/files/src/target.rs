//! Where a file goes: to a new name, in place of a regular file, or into a pipe or a device.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

/// How many links are followed before they count as a cycle, as on Linux.
const MOST_LINKS: usize = 40;

/// Where the bytes go.
#[derive(Debug)]
pub(crate) enum Target {
    /// A file at this path. It gets the mode and the owner of the file it replaces.
    File { path: PathBuf, before: Option<Metadata> },
    /// A pipe or a character device. The bytes are written to it.
    Stream(PathBuf),
}

impl Target {
    /// A target in a folder of the program's own. A link is replaced, not followed: a folder from elsewhere must not
    /// reach files outside it.
    pub(crate) fn own(path: &Path) -> io::Result<Self> {
        named(path)?;
        let before = match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => Some(found),
            Ok(found) if !found.is_symlink() => return Err(no_file(found.file_type())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => None,
        };
        Ok(Self::File { path: path.to_owned(), before })
    }

    /// A target that a user names. Links are followed, even to a file that does not exist yet.
    pub(crate) fn output(path: &Path) -> io::Result<Self> {
        named(path)?;
        match fs::metadata(path) {
            Ok(found) if is_stream(found.file_type()) => return Ok(Self::Stream(path.to_owned())),
            Ok(found) if !found.is_file() => return Err(no_file(found.file_type())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut end = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Ok(link) = fs::read_link(&end) else {
                let before = fs::metadata(&end).ok();
                return Ok(Self::File { path: end, before });
            };
            // /dev/stdout: the file is already open, and another file may have its name by now.
            if ["/proc", "/dev/fd"].iter().any(|folder| end.starts_with(folder)) {
                return Ok(Self::Stream(path.to_owned()));
            }
            end = crate::parent(&end).join(link);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "too many levels of symbolic links"))
    }
}

/// Opens a pipe or a device for writing.
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        // Duplicate the process's own handle, so that both share one position.
        let is = |names: [&str; 3]| names.iter().any(|name| path == Path::new(name));
        if is(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]) {
            return io::stdout().as_fd().try_clone_to_owned().map(File::from);
        }
        if is(["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]) {
            return io::stderr().as_fd().try_clone_to_owned().map(File::from);
        }
    }
    if is_pipe(path) {
        return open_pipe(path, PATIENCE);
    }
    OpenOptions::new().append(true).open(path)
}

/// How long to wait for a pipe's reader. Opening a pipe blocks until then, without noticing signals.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(not(unix))]
const PATIENCE: Duration = Duration::ZERO;

/// Opens a named pipe once another process reads it.
#[cfg(unix)]
fn open_pipe(path: &Path, patience: Duration) -> io::Result<File> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::os::unix::fs::OpenOptionsExt;
    let begun = Instant::now();
    loop {
        let opened = OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
        match opened {
            Ok(file) => {
                // Now there is a reader, so writes may block.
                fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                return Ok(file);
            }
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                return Err(error);
            }
            Err(_) if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => {
                let text = format!(
                    "expected a process that reads this pipe, found none within {} s",
                    patience.as_secs()
                );
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
}

#[cfg(not(unix))]
fn open_pipe(path: &Path, _patience: Duration) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Whether opening it blocks until there is a reader.
pub(crate) fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Gives a new file the mode of the file it replaces and, where the system allows it, the owner.
#[cfg(unix)]
pub(crate) fn keep(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        // Only root may change the owner; other users may still set the group.
        let _ = fchown(file, Some(before.uid()), Some(before.gid()))
            .or_else(|_| fchown(file, None, Some(before.gid())));
    }
    // After chown, which clears some mode bits.
    file.set_permissions(fs::Permissions::from_mode(mode(before)))
}

#[cfg(not(unix))]
pub(crate) fn keep(file: &File, before: &Metadata) -> io::Result<()> {
    file.set_permissions(before.permissions())
}

/// Options for a new file that nobody can read who cannot read the file it replaces.
pub(crate) fn new_file(before: Option<&Metadata>) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    if let Some(before) = before {
        use std::os::unix::fs::OpenOptionsExt;
        // The owner must be able to write it now.
        options.mode(mode(before) | 0o600);
    }
    #[cfg(not(unix))]
    let _ = before;
    options
}

#[cfg(unix)]
fn mode(before: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(before) & 0o777
}

#[cfg(unix)]
fn is_stream(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo() || kind.is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_: FileType) -> bool {
    false
}

fn named(path: &Path) -> io::Result<()> {
    if path.file_name().is_some() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))
}

fn no_file(kind: FileType) -> io::Error {
    let (kind, found) = match kind.is_dir() {
        true => (io::ErrorKind::IsADirectory, "a folder"),
        // Nobody means to overwrite a disk.
        false => (io::ErrorKind::InvalidInput, "a socket, a pipe or a device"),
    };
    io::Error::new(kind, format!("expected a file or a new name, found {found}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_pipe_waits_for_a_reader_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let error = open_pipe(&path, Duration::from_millis(30)).unwrap_err().to_string();
        assert!(error.contains("a process that reads this pipe"), "{error}");
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        // More than a pipe holds, so the writer waits for the reader.
        let text = "x".repeat(1 << 20);
        open_stream(&path).unwrap().write_all(text.as_bytes()).unwrap();
        assert_eq!(reader.join().unwrap(), text);
    }
}
