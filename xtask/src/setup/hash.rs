//! SHA-256 of files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// The SHA-256 of a file's bytes, in lower-case hexadecimal digits.
pub(crate) fn of_file(path: &Path) -> anyhow::Result<String> {
    let read = || -> io::Result<Sha256> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher),
                n => hasher.update(&buffer[..n]),
            }
        }
    };
    let hasher = read().with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(hex(&hasher.finalize()))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_known_message() {
        // FIPS 180-2, appendix B.1.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_file(&path).unwrap(), expected);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = of_file(Path::new("no/such/file.whl")).unwrap_err();
        assert!(format!("{error:#}").contains("no/such/file.whl"));
    }
}
