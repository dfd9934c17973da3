//! Atomic file writes: after a crash a file has its old content or its new content, never a mix. Everything is written
//! to a temporary name in the same folder, synced and renamed, and then the folder is synced.
//!
//! A regular file is replaced and keeps its mode. Anything else at the path is handled by whose folder it is in.
//! [`write_atomic`] is for the program's own folders: it replaces links and refuses pipes and devices. [`write_output`]
//! is for paths that a user names: it follows links and writes to pipes and devices.
//! `cargo run -p files --example replace` shows that a failed write changes nothing.
//!
//! ```no_run
//! files::write_atomic("report.html".as_ref(), b"<html></html>")?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod counted;
pub mod faults;
mod folder;
mod handles;
mod home;
mod identity;
mod leftovers;
mod memory;
mod pending;
mod printable;
mod regular;
mod support;
mod target;
mod trial;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub use counted::{counted, noun_of};
pub use folder::PendingFolder;
pub use handles::{is_out_of_handles, open_limit};
pub use home::expand_home;
pub use identity::Identity;
pub use leftovers::remove_leftovers;
pub use memory::{AvailableMemory, data_in_use};
pub use pending::PendingFile;
pub use printable::{printable, printable_line};
pub use regular::{is_irregular, open_own, open_regular, read_regular};
pub use support::{Support, is_unsupported, try_lock, try_sync_dir};
pub use trial::{make_folder, try_folder, try_output};

/// Replaces the content of `path`, in a folder of the program's own. A reader sees the old content or the new, never a
/// part.
///
/// # Errors
/// Any error of the file system; the old file is then unchanged and no temporary file is left.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_with(path, |out| halves(out, path, bytes))
}

/// Writes an output to a path that a user names. A regular file is replaced as by [`write_atomic`], even behind a link.
/// Pipes and character devices are written to directly. Missing folders are created.
///
/// # Errors
/// Any error of the file system; an old file is then unchanged and no temporary file is left.
pub fn write_output(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_output_with(path, |out| halves(out, path, bytes))
}

fn halves(out: &mut BufWriter<File>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    out.write_all(first)?;
    if cfg!(feature = "faults") {
        out.flush()?;
    }
    faults::pass("half-written", path)?;
    out.write_all(second)
}

/// Like [`write_atomic`], for content produced piece by piece.
///
/// # Errors
/// Any error of the file system or of `write`; the old file is then unchanged and no temporary file is left.
pub fn write_atomic_with<F>(path: &Path, write: F) -> io::Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    fill(PendingFile::create(path)?, write)
}

/// Like [`write_output`], for content produced piece by piece.
///
/// # Errors
/// Any error of the file system or of `write`; an old file is then unchanged and no temporary file is left.
pub fn write_output_with<F>(path: &Path, write: F) -> io::Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    fill(PendingFile::create_output(path)?, write)
}

fn fill<F>(pending: PendingFile, write: F) -> io::Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    let mut out = BufWriter::new(pending.reopen()?);
    write(&mut out)?;
    out.flush()?;
    pending.commit()
}

/// Syncs a folder, so that created, renamed and removed entries survive a power loss. Does nothing where the file
/// system cannot; [`try_sync_dir`] reports that.
///
/// # Errors
/// Any error of opening or syncing the folder.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    try_sync_dir(folder).map(|_| ())
}

/// The folder that holds `path`: `.` for a bare file name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        let failed = write_atomic_with(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_path_without_a_file_name_fails() {
        assert_eq!(write_atomic(Path::new("/"), b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(parent(Path::new("a")), Path::new("."));
    }
}
