//! TensorBoard event files: framed protocol buffers of a few fields, written by hand since no maintained
//! crate does it.
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

/// How the names of all event files begin.
const PREFIX: &str = "events.out.tfevents.";
/// What those of this program have in them.
const MARK: &str = ".ddpm.";
/// Sessions that may begin within a second.
const ATTEMPTS: u32 = 1000;

/// An event file, open for appending.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`, named after the time and the process, so that a resumed run adds one. `step` steps are
    /// done; a reader drops what it has of later ones.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
    pub fn create(folder: &Path, step: u64) -> Result<Self, TrainerError> {
        let (seconds, pid) = (now() as u64, std::process::id());
        let mut attempt = 0;
        let (file, path) = loop {
            // In containers, processes that follow each other may have one number.
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

    /// Says that training goes on behind `step` steps: a reader drops what it has of later ones, in all files of the folder.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
    pub fn restart(&mut self, step: u64) -> Result<(), TrainerError> {
        // SessionLog { status: START }. The first step that is dropped is that of the event.
        let mut log = Message::default();
        log.varint(1, 1);
        let mut event = Message::default();
        event.double(1, now()).varint(2, step.saturating_add(1)).bytes(7, &log.0);
        self.append(&event.0)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a number under a name such as `train/loss`.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), TrainerError> {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes()).float(2, value as f32);
        self.summary(step, &entry)
    }

    /// Adds a picture, given as the bytes of a PNG file with 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
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

    /// Adds the distribution of some numbers; nothing for none, and none that is not finite is counted.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
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
    fn files_are_a_sequence_of_sound_records() {
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
        // Step 7 as the first that does not hold, then session_log { status: START }.
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
