//! Reads the small files of a checkpoint, and hashes the large ones.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::CheckpointError;

/// Maximum size of `manifest.json` and `state.json`: 1 MiB, a thousand times what they need.
pub const MAX_JSON_BYTES: u64 = 1 << 20;

/// Bytes held in memory while hashing a file.
const BUFFER_BYTES: usize = 1 << 20;

/// Opens a file that must exist.
pub(crate) fn open(path: &Path) -> Result<File, CheckpointError> {
    files::open_regular(path).map_err(|source| CheckpointError::of_read(path, source))
}

/// Reads a small file whole.
pub(crate) fn small_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // Read one byte more than allowed: the file may grow meanwhile.
    let read = file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| CheckpointError::of_read(path, source))?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        let expected = format!("at most {MAX_JSON_BYTES} bytes");
        return Err(CheckpointError::altered(path, "size", expected, "more"));
    }
    Ok(bytes)
}

/// Parses JSON into a type. `path` is for the error message.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, CheckpointError> {
    serde_json::from_slice(bytes).map_err(|e| {
        // The message quotes the file.
        let found: String = e.to_string().escape_debug().take(200).collect();
        CheckpointError::altered(path, "content", "the JSON of this checkpoint file", found)
    })
}

/// SHA-256 of the rest of a file, in hexadecimal as `sha256sum` prints it.
pub(crate) fn sha256_of(mut file: File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 of bytes in memory.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// FIPS 180-4's example, and a file longer than the buffer.
    #[test]
    fn hashes_match_sha256sum() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long: Vec<u8> = (0..BUFFER_BYTES + 7).map(|n| n as u8).collect();
        for bytes in [&b""[..], b"abc", &long] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(sha256_of(File::open(&path).unwrap()).unwrap(), sha256(bytes));
        }
    }

    #[test]
    fn a_small_file_that_is_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, vec![b' '; MAX_JSON_BYTES as usize]).unwrap();
        assert_eq!(small_file(&path).unwrap().len() as u64, MAX_JSON_BYTES);
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let message = small_file(&path).unwrap_err().to_string();
        assert!(
            message.contains("state.json: size: expected at most 1048576 bytes, found more"),
            "{message}"
        );
    }
}
