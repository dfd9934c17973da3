//! TensorBoard event files: framed protocol buffers with a few fields, written by hand since no maintained crate does
//! it.
//!
//! A record is: length (u64), masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes. The
//! bytes are an `Event` with `wall_time` (1), `step` (2), `file_version` (3), `summary` (5) or `session_log` (7).

mod cut;
mod histogram;
mod wire;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::TrainerError;
pub(crate) use cut::cut_after;
use histogram::Histogram;
use wire::{Message, frame};

/// Prefix of the names of all event files.
const PREFIX: &str = "events.out.tfevents.";
/// Part of the name in files of this program.
const MARK: &str = ".ddpm.";
/// Most sessions that may begin within a second.
const ATTEMPTS: u32 = 1000;

/// An event file, open for appending.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates a file in `folder`, named after the time and the process, so that a resumed run adds a file. `step`
    /// steps are done; a reader drops earlier events of later steps.
    ///
    /// # Errors
    /// [`TrainerError::File`] for file system errors.
    pub fn create(folder: &Path, step: u64) -> Result<Self, TrainerError> {
        let (seconds, pid) = (now() as u64, std::process::id());
        let mut attempt = 0;
        let (file, path) = loop {
            // In containers, successive processes may have the same id.
            let end = if attempt == 0 { String::new() } else { format!(".{attempt}") };
            let path = folder.join(format!("{PREFIX}{seconds}{MARK}{pid}{end}"));
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                    attempt += 1
                }
                Err(error) => return Err(TrainerError::file(&path)(error)),
            }
        };
        let mut events = Self { file, path };
        let mut event = Message::default();
        event.double(1, now()).bytes(3, b"brain.Event:2");
        events.append(&event.0)?;
        events.restart(step)?;
        Ok(events)
    }

    /// Records that training continues after `step` steps: a reader drops events of later steps, in all files of the folder.
    ///
    /// # Errors
    /// [`TrainerError::File`] for file system errors.
    pub fn restart(&mut self, step: u64) -> Result<(), TrainerError> {
        // SessionLog { status: START }. The event's step is the first one to drop.
        let mut log = Message::default();
        log.varint(1, 1);
        let mut event = Message::default();
        event.double(1, now()).varint(2, step.saturating_add(1)).bytes(7, &log.0);
        self.append(&event.0)
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a number under a name such as `train/loss`.
    ///
    /// # Errors
    /// [`TrainerError::File`] for file system errors.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), TrainerError> {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes()).float(2, value as f32);
        self.summary(step, &entry)
    }

    /// Adds a picture, given as the bytes of a PNG file with 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// [`TrainerError::File`] for file system errors.
    pub fn png(
        &mut self,
        tag: &str,
        step: u64,
        size: (u32, u32),
        channels: u32,
        png: &[u8],
    ) -> Result<(), TrainerError> {
        let (width, height) = size;
        let mut image = Message::default();
        image.varint(1, u64::from(height)).varint(2, u64::from(width)).varint(3, u64::from(channels));
        image.bytes(4, png);
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes()).bytes(4, &image.0);
        self.summary(step, &entry)
    }

    /// Adds the distribution of some numbers. Numbers that are not finite are ignored; without finite numbers nothing
    /// is added.
    ///
    /// # Errors
    /// [`TrainerError::File`] for file system errors.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<(), TrainerError> {
        let Some(histogram) = Histogram::of(values) else { return Ok(()) };
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes()).bytes(5, &histogram.message().0);
        self.summary(step, &entry)
    }

    fn summary(&mut self, step: u64, entry: &Message) -> Result<(), TrainerError> {
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        let mut event = Message::default();
        event.double(1, now()).varint(2, step).bytes(5, &summary.0);
        self.append(&event.0)
    }

    fn append(&mut self, event: &[u8]) -> Result<(), TrainerError> {
        self.file.write_all(&frame(event)).map_err(TrainerError::file(&self.path))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_with_the_file() {
        let path = PathBuf::from("/dev/full");
        let mut events = EventFile { file: OpenOptions::new().append(true).open(&path).unwrap(), path };
        let error = events.scalar("train/loss", 7, 0.5).unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: "), "{error}");
    }

    #[test]
    fn files_are_a_sequence_of_valid_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 6).unwrap();
        events.scalar("train/loss", 7, 0.5).unwrap();
        events.png("samples", 7, (2, 1), 1, b"PNG").unwrap();
        let bytes = std::fs::read(events.path()).unwrap();
        let mut rest = &bytes[..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(frame(&rest[12..12 + length]), rest[..16 + length]);
            records.push(rest[12..12 + length].to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(records.len(), 4);
        assert!(records[0].ends_with(b"brain.Event:2"));
        // Step 7 as the first to drop, then session_log { status: START }.
        assert!(records[1].ends_with(&[0x10, 7, 0x3a, 2, 0x08, 1]));
        // Step 7, then summary { value { tag "train/loss", simple_value 0.5 } }.
        let mut entry = Message::default();
        entry.bytes(1, b"train/loss").float(2, 0.5);
        let mut tail = Message::default();
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        tail.varint(2, 7).bytes(5, &summary.0);
        assert!(records[2].ends_with(&tail.0));
    }
}
