//! Opens an entry of a zip archive: stored or deflated, not encrypted. Other crates' features decide which other
//! methods the zip crate can read, but what the program accepts must not depend on that.

use std::io::{Read, Seek};

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// The kind of entry that is accepted, for error messages.
pub(crate) const EXPECTED: &str = "a stored or deflated zip entry without a password";

/// Opens entry `index`. The error gives what was found instead of [`EXPECTED`], and advice.
pub(crate) fn open<'a, R: Read + Seek>(
    zip: &'a mut ZipArchive<R>,
    index: usize,
    advice: &str,
) -> Result<ZipFile<'a>, String> {
    let method = zip.by_index_raw(index).map_err(|e| e.to_string())?.compression();
    if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(format!("{}; {advice}", method_name(method)));
    }
    zip.by_index(index).map_err(|error| match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => format!("an encrypted one; {advice}"),
        error => error.to_string(),
    })
}

/// The methods of common programs, by their numbers in the zip specification (APPNOTE, 4.4.5).
fn method_name(method: CompressionMethod) -> String {
    // `to_u16` is deprecated, but the names of the variants depend on features.
    #[allow(deprecated, reason = "only the number is the same in every build")]
    let number = method.to_u16();
    let name = match number {
        9 => "deflate64",
        12 => "bzip2",
        14 => "LZMA",
        93 => "zstd",
        95 => "xz",
        99 => "AES encryption",
        _ => return format!("compression method {number}"),
    };
    format!("{name} (method {number})")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::FileOptions;

    /// Sets a 16-bit field in both headers of every entry: at `local` in the local header before the data, and at
    /// `local + 2` in the directory, which has one extra field at the start.
    pub(crate) fn with_field(mut archive: Vec<u8>, local: usize, value: u16) -> Vec<u8> {
        for (mark, at) in [(b"PK\x03\x04", local), (b"PK\x01\x02", local + 2)] {
            let headers: Vec<usize> =
                archive.windows(4).enumerate().filter(|(_, w)| w == mark).map(|(n, _)| n).collect();
            for header in headers {
                archive[header + at..header + at + 2].copy_from_slice(&value.to_le_bytes());
            }
        }
        archive
    }

    /// Offsets in the local header.
    pub(crate) const FLAGS: usize = 6;
    pub(crate) const METHOD: usize = 8;

    #[test]
    fn only_stored_and_deflated_entries_open() {
        for kept in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file("a", FileOptions::default().compression_method(kept)).unwrap();
            zip.write_all(b"hello").unwrap();
            let good = zip.finish().unwrap().into_inner();
            let found = |bytes: Vec<u8>| {
                let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
                open(&mut zip, 0, "rewrite it").map(|entry| entry.size())
            };
            assert_eq!(found(good.clone()), Ok(5));
            for (method, name) in [
                (1, "compression method 1"),
                (9, "deflate64 (method 9)"),
                (12, "bzip2 (method 12)"),
                (14, "LZMA (method 14)"),
                (93, "zstd (method 93)"),
                (95, "xz (method 95)"),
            ] {
                let error = found(with_field(good.clone(), METHOD, method)).unwrap_err();
                assert_eq!(error, format!("{name}; rewrite it"));
            }
            assert_eq!(found(with_field(good, FLAGS, 1)), Err("an encrypted one; rewrite it".to_owned()));
        }
    }
}
