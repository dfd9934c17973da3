//! Special files in a folder: devices and pipes, created there so that no test needs those of the system.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use anyhow::{Context, ensure};

/// A device that accepts everything.
pub const NULL: &str = "3";
/// A device that is full.
pub const FULL: &str = "7";

/// Ends the input of a [`Reader`].
const END: &[u8] = b"\0the end of the test\0";

/// Makes a character device of the kernel's memory driver. Returns false where the user or the file system does not
/// allow it.
#[must_use]
pub fn device(path: &Path, minor: &str) -> bool {
    let made = Command::new("mknod").arg(path).args(["c", "1", minor]).output();
    made.is_ok_and(|made| made.status.success()) && OpenOptions::new().write(true).open(path).is_ok()
}

/// Makes a named pipe.
///
/// # Errors
/// When it cannot be made.
pub fn pipe(path: &Path) -> anyhow::Result<()> {
    let status = Command::new("mkfifo").arg(path).status().context("mkfifo")?;
    ensure!(status.success(), "mkfifo {}: {status}", path.display());
    Ok(())
}

/// Reads a named pipe, however often the other side opens and closes it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    thread: JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Reader {
    /// Starts reading.
    ///
    /// # Errors
    /// When the pipe cannot be opened.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        // With a writer of its own, the pipe never reaches its end.
        let mut pipe = OpenOptions::new().read(true).write(true).open(path)?;
        let thread = std::thread::spawn(move || {
            let (mut all, mut part) = (Vec::new(), vec![0; 1 << 16]);
            while !all.ends_with(END) {
                let count = pipe.read(&mut part)?;
                all.extend_from_slice(&part[..count]);
            }
            all.truncate(all.len() - END.len());
            Ok(all)
        });
        Ok(Self { path: path.to_owned(), thread })
    }

    /// What has been read.
    ///
    /// # Errors
    /// When reading fails.
    pub fn finish(self) -> anyhow::Result<Vec<u8>> {
        OpenOptions::new().write(true).open(&self.path)?.write_all(END)?;
        Ok(self.thread.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??)
    }
}
