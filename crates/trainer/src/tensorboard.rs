//! TensorBoard event files: framed protocol buffers of a few fields, written by hand since no maintained
//! crate does it.
//!
//! A record is: length (u64), masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes. The
//! bytes are an `Event` with `wall_time` (1), `step` (2), `file_version` (3) or `summary` (5).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::TrainerError;

/// An event file, open for appending.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`, named after the time and the process, so that a resumed run adds one.
    ///
    /// # Errors
    /// [`TrainerError::File`], those of the file system.
    pub fn create(folder: &Path) -> Result<Self, TrainerError> {
        let (seconds, pid) = (now() as u64, std::process::id());
        let path = folder.join(format!("events.out.tfevents.{seconds}.ddpm.{pid}"));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(TrainerError::file(&path))?;
        let mut events = Self { file, path };
        let mut event = Message::default();
        event.double(1, now()).bytes(3, b"brain.Event:2");
        events.append(&event.0)?;
        Ok(events)
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

fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked_crc32c(event).to_le_bytes());
    record
}

/// Rotated and offset, so that the CRC of data that holds CRCs is not degenerate.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
fn crc32c(bytes: &[u8]) -> u32 {
    let update = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, update)
}

/// A protocol buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, 0).raw_varint(value)
    }

    fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.key(field, 1).0.extend(value.to_le_bytes());
        self
    }

    fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.key(field, 5).0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.key(field, 2).raw_varint(value.len() as u64).0.extend(value);
        self
    }

    fn key(&mut self, field: u32, wire_type: u32) -> &mut Self {
        self.raw_varint(u64::from(field << 3 | wire_type))
    }

    fn raw_varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        // RFC 3720, B.4: 32 zeros; and the usual check string.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn messages_have_the_wire_form() {
        let mut message = Message::default();
        message.varint(2, 300).bytes(1, b"ab").float(2, 1.0);
        assert_eq!(message.0, [0x10, 0xac, 0x02, 0x0a, 2, b'a', b'b', 0x15, 0, 0, 0x80, 0x3f]);
    }

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
        let mut events = EventFile::create(folder.path()).unwrap();
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
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"brain.Event:2"));
        // Step 7, then summary { value { tag "train/loss", simple_value 0.5 } }.
        let mut entry = Message::default();
        entry.bytes(1, b"train/loss").float(2, 0.5);
        let mut tail = Message::default();
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        tail.varint(2, 7).bytes(5, &summary.0);
        assert!(records[1].ends_with(&tail.0));
    }
}
