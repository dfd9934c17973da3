//! Reads `.npz` archives: zip files of `.npy` entries, as written by numpy's `savez` and `savez_compressed`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;

use crate::array::AnyArray;
use crate::error::DatasetError;
use crate::limits::{Inflation, open_regular};
use crate::npy::parse_data;
use crate::npy_header::read_header;
use crate::zip_entry;

const FORMAT: &str = "npz";
/// Advice for an entry that cannot be read.
const REWRITE: &str = "rewrite the file with numpy.savez_compressed";
/// Length of the record at the end of a zip file, without its comment.
const END_RECORD: u64 = 22;

/// An open archive; arrays are read one at a time, on demand.
pub struct Npz<R: Read + Seek> {
    name: String,
    length: u64,
    inflation: Inflation,
    archive: ZipArchive<R>,
    /// Index in the archive by array name.
    entries: BTreeMap<String, usize>,
}

impl Npz<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DatasetError::Io`], [`DatasetError::Malformed`].
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let (file, _) = open_regular(path)?;
        Self::new(&path.display().to_string(), BufReader::new(file))
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads the directory of an archive; `name` is for error messages.
    ///
    /// # Errors
    /// [`DatasetError::Malformed`].
    pub fn new(name: &str, mut reader: R) -> Result<Self, DatasetError> {
        let wrong =
            |e: &dyn std::fmt::Display| DatasetError::malformed(name, FORMAT, "a zip archive", e.to_string());
        let length = reader.seek(SeekFrom::End(0)).map_err(|e| wrong(&e))?;
        refuse_zip64(name, &mut reader, length, "save each array as .npy instead")?;
        let mut archive = ZipArchive::new(reader).map_err(|e| wrong(&e))?;
        let mut entries = BTreeMap::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|e| wrong(&e))?;
            if let Some(array) = entry.name().strip_suffix(".npy")
                && entries.insert(array.to_owned(), index).is_some()
            {
                let found = format!("{array:?} twice");
                return Err(DatasetError::malformed(name, FORMAT, "each array once", found));
            }
        }
        Ok(Self { name: name.to_owned(), length, inflation: Inflation::default(), archive, entries })
    }

    /// Allows an array `bytes` of memory, however few its compressed bytes; see [`crate::OpenOptions::unpacked_limit`].
    #[must_use]
    pub fn with_unpacked_limit(self, bytes: Option<u64>) -> Self {
        Self { inflation: Inflation::granted(bytes), ..self }
    }

    /// Names of the arrays, sorted, without `.npy`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is an array with this name.
    #[must_use]
    pub fn contains(&self, array: &str) -> bool {
        self.entries.contains_key(array)
    }

    /// Reads one array.
    ///
    /// # Errors
    /// [`DatasetError::Unsuitable`] if the array does not exist, with the names of those that do;
    /// [`DatasetError::Malformed`]; [`DatasetError::Inflates`] if it would take more than 16 MiB and 200 times its
    /// compressed size in memory.
    pub fn array(&mut self, array: &str) -> Result<AnyArray, DatasetError> {
        let Some(&index) = self.entries.get(array) else {
            let names: Vec<_> = self.names().collect();
            let expected = format!("an array named {array:?}");
            return Err(DatasetError::unsuitable(&self.name, expected, format!("{names:?}")));
        };
        let file = format!("{}[{array}]", self.name);
        let entry = zip_entry::open(&mut self.archive, index, REWRITE);
        let mut entry =
            entry.map_err(|found| DatasetError::malformed(&file, FORMAT, zip_entry::EXPECTED, found))?;
        // Only bytes that are really in the file count as compressed data.
        let compressed = entry.compressed_size().min(self.length);
        let declared = entry.size();
        let header = read_header(&file, &mut entry)?;
        self.inflation.check(&file, "the array", header.memory_bytes(), compressed)?;
        let needed = header.bytes.len() as u64 + header.data_bytes;
        if needed != declared {
            let expected = format!("{needed} bytes for shape {:?}", header.shape);
            return Err(DatasetError::malformed(&file, FORMAT, expected, files::counted(declared, "byte")));
        }
        parse_data(&file, header, &mut BufReader::new(entry))
    }
}

/// Refuses zip64 directories. One can claim 2^64 entries, and memory for them would be reserved at once. Numpy writes
/// them only for archives above 4 GiB.
pub(crate) fn refuse_zip64<R: Read + Seek>(
    name: &str,
    reader: &mut R,
    length: u64,
    advice: &str,
) -> Result<(), DatasetError> {
    let wrong = |e: io::Error| DatasetError::malformed(name, FORMAT, "a zip archive", e.to_string());
    let start = length.saturating_sub(END_RECORD + u64::from(u16::MAX) + 20);
    reader.seek(SeekFrom::Start(start)).map_err(wrong)?;
    let mut tail = Vec::new();
    reader.take(length - start).read_to_end(&mut tail).map_err(wrong)?;
    let end = tail.windows(4).rposition(|w| w == b"PK\x05\x06");
    let Some(end) = end else {
        return Err(DatasetError::malformed(
            name,
            FORMAT,
            "the directory at the end of a zip archive",
            "none",
        ));
    };
    // The locator is found by the length of the comment, so a false length must not lead elsewhere.
    let comment = tail.get(end + 20..end + 22).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    if comment.is_none_or(|n| end + END_RECORD as usize + n != tail.len()) {
        return Err(DatasetError::malformed(
            name,
            FORMAT,
            "a zip directory at the end of the file",
            "other bytes",
        ));
    }
    if end >= 20 && tail[end - 20..].starts_with(b"PK\x06\x07") {
        let found = format!("a zip64 directory; {advice}");
        return Err(DatasetError::malformed(name, FORMAT, "an archive below 4 GiB", found));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::encode_npy;
    use crate::zip_entry::tests::{FLAGS, METHOD, with_field};
    use ndarray::{Array1, array};
    use std::io::{Cursor, Write};
    use zip::write::FileOptions;
    use zip::{CompressionMethod, ZipWriter};

    fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in entries {
            zip.start_file(*name, FileOptions::default().compression_method(method)).unwrap();
            zip.write_all(data).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn npy(array: &AnyArray) -> Vec<u8> {
        let mut bytes = Vec::new();
        match array {
            AnyArray::F32(a) => encode_npy(&mut bytes, a).unwrap(),
            AnyArray::U8(a) => encode_npy(&mut bytes, a).unwrap(),
            _ => unreachable!(),
        }
        bytes
    }

    #[test]
    fn compressed_entries_are_read_and_other_files_ignored() {
        let data = npy(&array![1_u8, 2, 3].into());
        let bytes = archive(&[("x.npy", &data), ("readme.txt", b"hello")], CompressionMethod::Deflated);
        let mut npz = Npz::new("x.npz", Cursor::new(bytes)).unwrap();
        assert!(npz.names().eq(["x"]));
        assert_eq!(npz.array("x").unwrap(), array![1_u8, 2, 3].into());
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_inflated() {
        // 20 MiB of zeros deflate to 20 KiB.
        let data = npy(&Array1::<u8>::zeros(20 << 20).into());
        let bytes = archive(&[("x.npy", &data)], CompressionMethod::Deflated);
        assert!(bytes.len() < 1 << 20);
        let error = Npz::new("x.npz", Cursor::new(bytes.clone())).unwrap().array("x").unwrap_err();
        assert!(
            matches!(error, DatasetError::Inflates { needed: 20_971_520, limit: 16_777_216, .. }),
            "{error}"
        );
        let granted = |limit| {
            let npz = Npz::new("x.npz", Cursor::new(bytes.clone())).unwrap();
            npz.with_unpacked_limit(Some(limit)).array("x")
        };
        assert_eq!(granted(20 << 20).unwrap().shape(), [20 << 20]);
        assert!(matches!(granted((20 << 20) - 1), Err(DatasetError::Inflates { .. })));
    }

    #[test]
    fn narrow_integers_count_with_their_size_in_memory() {
        let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (3145728,)}";
        let start =
            [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
        let data = [start, vec![0; 3 << 20]].concat();
        let bytes = archive(&[("x.npy", &data)], CompressionMethod::Deflated);
        let error = Npz::new("x.npz", Cursor::new(bytes)).unwrap().array("x").unwrap_err();
        assert!(matches!(error, DatasetError::Inflates { needed: 25_165_824, .. }), "{error}");
    }

    #[test]
    fn malformed_archives_are_refused() {
        let data = npy(&array![1.0_f32, 2.0].into());
        let good = archive(&[("x.npy", &data)], CompressionMethod::Stored);
        let open =
            |bytes: &[u8]| Npz::new("x.npz", Cursor::new(bytes.to_vec())).and_then(|mut n| n.array("x"));
        assert!(open(&good).is_ok());
        for cut in 0..good.len() {
            assert!(open(&good[..cut]).is_err(), "{cut}");
        }
        // The CRC detects a flipped bit in the data.
        let mut flipped = good.clone();
        let at = flipped.windows(4).position(|w| w == 2.0_f32.to_le_bytes()).unwrap();
        flipped[at] ^= 1;
        assert!(open(&flipped).is_err());
        // A zip64 directory with 2^64 - 1 entries.
        let mut zip64 = b"PK\x06\x07".to_vec();
        zip64.resize(20, 0);
        zip64.extend(b"PK\x05\x06");
        zip64.extend([0xff; 16]);
        zip64.extend([0, 0]);
        assert!(open(&zip64).unwrap_err().to_string().contains("zip64"));
        // Methods and encryption that other builds of the zip crate may support.
        for (field, value, name) in [(METHOD, 12, "bzip2"), (METHOD, 93, "zstd"), (FLAGS, 1, "encrypted")] {
            let error = open(&with_field(good.clone(), field, value)).unwrap_err().to_string();
            assert!(error.contains("x.npz[x]") && error.contains(name), "{error}");
            assert!(error.contains("rewrite the file with numpy.savez_compressed"), "{error}");
        }
        // More data than the shape requires.
        let long = archive(&[("x.npy", &[data.as_slice(), &[0]].concat())], CompressionMethod::Deflated);
        assert!(open(&long).unwrap_err().to_string().contains("for shape [2]"));
    }

    #[test]
    fn damage_never_panics() {
        let data = npy(&array![1.0_f32, 2.0].into());
        let good = archive(&[("x.npy", &data)], CompressionMethod::Deflated);
        for at in 0..good.len() {
            for byte in [0x00, 0x01, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                if let Ok(mut npz) = Npz::new("x.npz", Cursor::new(bad)) {
                    let _ = npz.array("x");
                }
            }
        }
    }
}
