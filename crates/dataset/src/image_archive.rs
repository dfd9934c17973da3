//! Reads a zip archive of images in place: nothing is unpacked to disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use zip::ZipArchive;

use crate::error::DatasetError;
use crate::limits::{Inflation, MAX_ENCODED_IMAGE, open_regular};
use crate::npz::refuse_zip64;
use crate::scan::{Entry, Listing, Others, Place, is_hidden, named_as_image};
use crate::store::read_at;
use crate::zip_entry;

const FORMAT: &str = "zip";
/// Advice for an entry that cannot be read.
const REPACK: &str =
    "pack the images again with plain zip (deflate, no password), or unpack them and give the folder";

/// One file of an archive.
#[derive(Clone)]
pub(crate) struct Packed {
    archive: Arc<Archive>,
    index: usize,
}

struct Archive {
    name: String,
    length: u64,
    inflation: Inflation,
    zip: ZipArchive<Positioned>,
}

impl Packed {
    /// Reads the bytes of the file. The error gives the reason.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        let Archive { length, inflation, zip, .. } = &*self.archive;
        // A clone has its own position and shares the directory.
        let mut zip = zip.clone();
        let entry = zip_entry::open(&mut zip, self.index, REPACK)
            .map_err(|found| format!("expected {}, found {found}", zip_entry::EXPECTED))?;
        // Only bytes that are really in the archive count as compressed data.
        let limit = inflation.limit(entry.compressed_size().min(*length)).min(MAX_ENCODED_IMAGE);
        let needed = entry.size();
        if needed > limit {
            return Err(format!("expected at most {limit} bytes, found {needed}"));
        }
        let mut bytes = Vec::new();
        entry.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 != needed {
            return Err(format!("expected {needed} bytes, found {}", bytes.len()));
        }
        Ok(bytes)
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.archive.name)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}[{}]", self.index)
    }
}

/// Lists the images of an archive by name; hidden files are skipped.
///
/// # Errors
/// [`DatasetError::Io`]; [`DatasetError::Malformed`], including for names that lead out of the archive.
pub(crate) fn list(path: &Path, inflation: Inflation) -> Result<Listing, DatasetError> {
    let name = path.display().to_string();
    let wrong = |e: &dyn fmt::Display| DatasetError::malformed(&name, FORMAT, "a zip archive", e.to_string());
    let (file, length) = open_regular(path)?;
    let modified = file.metadata().ok().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |d| d.as_nanos());
    let mut reader = Positioned { file: Arc::new(file), at: 0, length };
    refuse_zip64(&name, &mut reader, length, "unpack it and give the folder instead")?;
    let mut zip = ZipArchive::new(reader).map_err(|e| wrong(&e))?;
    let mut found = Vec::new();
    let mut others = Others::default();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|e| wrong(&e))?;
        let Some(relative) = entry.enclosed_name().map(Path::to_owned) else {
            let found = format!("{:?}", entry.name());
            return Err(DatasetError::malformed(&name, FORMAT, "names inside the archive", found));
        };
        let hidden = relative.iter().any(|part| is_hidden(&part.to_string_lossy()));
        if hidden || entry.is_dir() {
            continue;
        }
        if named_as_image(&relative) {
            found.push((index, relative, entry.size(), entry.crc32()));
        } else {
            others.add(&relative);
        }
    }
    let archive = Arc::new(Archive { name, length, inflation, zip });
    let entry = |(index, relative, length, crc): (usize, _, _, u32)| Entry {
        place: Place::Packed(Packed { archive: Arc::clone(&archive), index }),
        relative,
        label: None,
        length,
        modified: modified ^ (u128::from(crc) << 64),
    };
    let mut entries: Vec<Entry> = found.into_iter().map(entry).collect();
    entries.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(Listing { entries, others })
}

/// A file with its own position, so that clones can be read at the same time.
#[derive(Clone)]
struct Positioned {
    file: Arc<File>,
    at: u64,
    length: u64,
}

impl Read for Positioned {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let count = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        read_at(&self.file, self.at, &mut out[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Inflation;
    use crate::zip_entry::tests::{FLAGS, METHOD, with_field};
    use std::io::Write;
    use std::path::PathBuf;
    use zip::write::FileOptions;
    use zip::{CompressionMethod, ZipWriter};

    fn archive(entries: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, data) in entries {
            let options = FileOptions::default().compression_method(CompressionMethod::Deflated);
            zip.start_file(*name, options).unwrap();
            zip.write_all(data).unwrap();
        }
        zip.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn images_are_listed_by_name_and_read_in_any_order() {
        let (_folder, path) = archive(&[
            ("dog/2.PNG", b"two"),
            ("cat/1.png", b"one"),
            ("__MACOSX/cat/._1.png", b"x"),
            (".hidden/3.png", b"x"),
            ("notes.txt", b"x"),
        ]);
        let listing = list(&path, Inflation::default()).unwrap();
        let names: Vec<_> = listing.entries.iter().map(|e| e.relative.display().to_string()).collect();
        assert_eq!((names, listing.others.count), (vec!["cat/1.png".to_owned(), "dog/2.PNG".to_owned()], 1));
        assert_eq!(listing.entries[1].read().unwrap(), b"two");
        assert_eq!(listing.entries[0].read().unwrap(), b"one");
        assert!(listing.entries[0].whole_name().ends_with("a.zip[cat/1.png]"));
    }

    #[test]
    fn names_outside_the_archive_are_refused() {
        for name in ["../x.png", "a/../../x.png", "/etc/x.png"] {
            let (_folder, path) = archive(&[(name, b"x")]);
            let error = list(&path, Inflation::default()).unwrap_err().to_string();
            assert!(error.contains("names inside the archive"), "{error}");
        }
    }

    #[test]
    fn methods_that_only_some_builds_support_are_refused() {
        let (_folder, path) = archive(&[("a.png", b"one")]);
        let good = std::fs::read(&path).unwrap();
        for (field, value, name) in [(METHOD, 12, "bzip2"), (METHOD, 93, "zstd"), (FLAGS, 1, "encrypted")] {
            std::fs::write(&path, with_field(good.clone(), field, value)).unwrap();
            let error =
                list(&path, Inflation::default()).unwrap().entries[0].read().unwrap_err().reason().unwrap();
            assert!(error.contains(name) && error.contains("pack the images again"), "{error}");
        }
    }

    #[test]
    fn a_bomb_or_damage_is_an_error_of_that_image() {
        let zeros = vec![0; 20 << 20];
        let (_folder, path) = archive(&[("a.png", &zeros), ("b.png", b"some bytes that are whole")]);
        let listing = list(&path, Inflation::default()).unwrap();
        assert!(listing.entries[0].read().unwrap_err().reason().unwrap().contains("at most 16777216 bytes"));
        // It fits once the limit is raised.
        let granted = Inflation::granted(Some(32 << 20));
        assert_eq!(list(&path, granted).unwrap().entries[0].read().unwrap().len(), zeros.len());
        let mut bytes = std::fs::read(&path).unwrap();
        // The name comes first in the header before the data.
        let data = bytes.windows(5).position(|w| w == b"b.png").unwrap() + 13;
        bytes[data] ^= 0x55;
        std::fs::write(&path, bytes).unwrap();
        assert!(list(&path, Inflation::default()).unwrap().entries[1].read().is_err());
    }
}
