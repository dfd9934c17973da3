//! Where headers are read from: a file, or its bytes.

use std::fs::File;
use std::io;

use crate::store::read_at;

/// Bytes that are read by position.
pub(super) trait Input {
    /// Reads the bytes at `at` into all of `out`.
    fn bytes_at(&self, at: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Input for File {
    fn bytes_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        read_at(self, at, out)
    }
}

impl Input for &[u8] {
    fn bytes_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let part = usize::try_from(at).ok().and_then(|at| self.get(at..at.checked_add(out.len())?));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_bytes_read_alike() {
        let bytes: &[u8] = b"0123456789";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        for (at, length) in [(0, 10), (3, 4), (10, 0), (9, 2), (11, 1), (0, 11), (1 << 40, 1)] {
            let filled = |input: &dyn Input| {
                let mut out = vec![b'x'; length];
                input.bytes_at(at, &mut out).map(|()| out).map_err(|e| e.kind())
            };
            assert_eq!(filled(&bytes), filled(&file), "{length} at {at}");
        }
        let mut out = [0];
        assert!(bytes.bytes_at(u64::MAX, &mut out).is_err());
        assert!(bytes.bytes_at(3, &mut out).is_ok() && out == *b"3");
    }
}
