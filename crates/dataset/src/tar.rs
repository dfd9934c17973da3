//! Reads the files of a tar archive in order (POSIX.1-1988 ustar and GNU tar), gzipped or not. Nothing is unpacked to
//! disk.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::{GzDecoder, MultiGzDecoder};

use crate::error::DatasetError;
use crate::idx::GZIP_MAGIC;
use crate::limits::{Inflation, MAX_FILE, check_size, open_regular};

pub(crate) const FORMAT: &str = "tar";
/// Headers and data fill whole blocks.
pub(crate) const BLOCK: usize = 512;

/// The name of the first entry of an archive, from the first bytes of the file. `None` if they are not a tar archive.
pub(crate) fn first_name(start: &[u8]) -> Option<String> {
    let mut inner = Vec::new();
    let header = if start.starts_with(&GZIP_MAGIC) {
        // The start of a file ends early; use what was inflated before that.
        let _ = GzDecoder::new(start).take(BLOCK as u64).read_to_end(&mut inner);
        &inner[..]
    } else {
        start
    };
    (header.get(257..262)? == b"ustar").then(|| text(&header[..100]))
}

/// Whether a file of `length` bytes is an archive without files, from its name and its first block: the end of an archive
/// is two blocks of zeros, and tar fills its last record with more.
pub(crate) fn may_be_empty(path: &Path, start: &[u8], length: u64) -> bool {
    let named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
    let blocks = length >= 2 * BLOCK as u64 && length.is_multiple_of(BLOCK as u64);
    named && blocks && start.iter().all(|&byte| byte == 0)
}

/// A regular file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path in the archive.
    pub(crate) path: String,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// The files of an archive.
pub(crate) struct Tar {
    /// For error messages.
    name: String,
    reader: Box<dyn Read>,
    /// Bytes of the archive that were read, and how many it may have.
    read: u64,
    limit: Limit,
    /// Bytes of the current file that were not read, and its padding.
    left: u64,
}

/// How many bytes an archive may have.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Plain,
    /// What a gzipped file of this size may inflate to.
    Gzipped(Inflation, u64),
}

impl Tar {
    pub(crate) fn open(path: &Path, inflation: Inflation) -> Result<Self, DatasetError> {
        let (file, length) = open_regular(path)?;
        let mut file = BufReader::new(file);
        let start = file.fill_buf().map_err(|e| DatasetError::io(path, "read", e))?;
        let (reader, limit): (Box<dyn Read>, Limit) = if start.starts_with(&GZIP_MAGIC) {
            (Box::new(MultiGzDecoder::new(file)), Limit::Gzipped(inflation, length))
        } else {
            (Box::new(file), Limit::Plain)
        };
        Ok(Self { name: path.display().to_string(), reader, read: 0, limit, left: 0 })
    }

    /// The next regular file. Folders, links and everything else are passed over.
    pub(crate) fn advance(&mut self) -> Result<Option<Member>, DatasetError> {
        loop {
            self.pass_over()?;
            let header = self.take(BLOCK as u64)?;
            if header.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            let size = checked_size(&self.name, &header)?;
            // Each file fills whole blocks.
            self.left = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
            // Type '0', or NUL in the oldest archives.
            if matches!(header[156], b'0' | 0) {
                return Ok(Some(Member { path: text(&header[..100]), size }));
            }
        }
    }

    /// The bytes of the file that [`Tar::advance`] has just returned.
    pub(crate) fn read(&mut self, member: &Member) -> Result<Vec<u8>, DatasetError> {
        let size = member.size.min(self.left);
        let bytes = self.take(size)?;
        self.left -= size;
        Ok(bytes)
    }

    /// Reads past the rest of the current file.
    fn pass_over(&mut self) -> Result<(), DatasetError> {
        self.grant(self.left)?;
        let passed = io::copy(&mut self.reader.by_ref().take(self.left), &mut io::sink());
        let passed = passed.map_err(|e| self.damaged(&e))?;
        if passed < self.left {
            return Err(self.ended(self.left, passed));
        }
        self.read += passed;
        self.left = 0;
        Ok(())
    }

    /// Exactly this many bytes. The vector grows with the data that is there, not with the claimed size.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, DatasetError> {
        self.grant(count)?;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count).read_to_end(&mut bytes);
        read.map_err(|e| self.damaged(&e))?;
        if (bytes.len() as u64) < count {
            return Err(self.ended(count, bytes.len() as u64));
        }
        self.read += count;
        Ok(bytes)
    }

    /// Whether the archive may have `count` more bytes.
    fn grant(&self, count: u64) -> Result<(), DatasetError> {
        let needed = self.read.saturating_add(count);
        match self.limit {
            Limit::Plain => check_size(&self.name, "the archive", needed, MAX_FILE),
            Limit::Gzipped(inflation, length) => inflation.check(&self.name, "the archive", needed, length),
        }
    }

    fn damaged(&self, error: &io::Error) -> DatasetError {
        DatasetError::malformed(&self.name, FORMAT, "intact data", error.to_string())
    }

    fn ended(&self, expected: u64, found: u64) -> DatasetError {
        let expected = format!("{expected} more bytes after {}", self.read);
        DatasetError::malformed(&self.name, FORMAT, expected, format!("the end after {found}"))
    }
}

/// The size in a header of one block whose checksum is right; `name` is for error messages.
pub(crate) fn checked_size(name: &str, header: &[u8]) -> Result<u64, DatasetError> {
    let wrong = |expected: &str, found: String| DatasetError::malformed(name, FORMAT, expected, found);
    // The checksum counts its own bytes as spaces.
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let own: u64 = header[148..156].iter().map(|&byte| u64::from(byte)).sum();
    let sum = sum - own + 8 * u64::from(b' ');
    if octal(&header[148..156]) != Some(sum) {
        let found = format!("{:?}", text(&header[148..156]));
        return Err(wrong("a header with its checksum", found));
    }
    let field = &header[124..136];
    octal(field).or_else(|| binary(field)).ok_or_else(|| {
        let found = format!("{field:02x?} for {:?}", text(&header[..100]));
        wrong("a size in octal digits, or in binary below 2^64", found)
    })
}

/// A text that may end early with a NUL.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// Octal digits, with spaces around them.
fn octal(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(text(field).trim(), 8).ok()
}

/// A binary number after a first byte of 0x80, as GNU tar writes numbers that octal digits have no room for.
fn binary(field: &[u8]) -> Option<u64> {
    let (&0x80, digits) = field.split_first()? else { return None };
    let (high, low) = digits.split_last_chunk::<8>()?;
    high.iter().all(|&byte| byte == 0).then(|| u64::from_be_bytes(*low))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// A ustar header; a kind of `'5'` is a folder.
    pub(crate) fn header(name: &str, size: u64, kind: u8) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let digits = format!("{size:011o}");
        header[124..124 + digits.len()].copy_from_slice(digits.as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        header[257..262].copy_from_slice(b"ustar");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    /// The same header with a binary size: GNU's mark, zeros and these bytes.
    pub(crate) fn with_binary_size(mut header: Vec<u8>, mark: u8, size: u64) -> Vec<u8> {
        header[124..136].fill(0);
        header[124] = mark;
        header[128..136].copy_from_slice(&size.to_be_bytes());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    /// An archive of a folder and these files.
    pub(crate) fn tar(folder: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = header(folder, 0, b'5');
        for (name, data) in files {
            bytes.extend(header(&format!("{folder}{name}"), data.len() as u64, b'0'));
            bytes.extend(*data);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The files of an archive of which only those with an odd size are read.
    fn files(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        std::fs::write(&path, bytes).unwrap();
        let mut tar = Tar::open(&path, Inflation::default())?;
        let mut files = Vec::new();
        while let Some(member) = tar.advance()? {
            let bytes = if member.size % 2 == 1 { tar.read(&member)? } else { Vec::new() };
            files.push((member.path, bytes));
        }
        Ok(files)
    }

    fn example() -> Vec<u8> {
        tar("set/", &[("a.bin", &[1; 513]), ("b.bin", &[2; 512]), ("c.bin", &[]), ("d.bin", &[3])])
    }

    #[test]
    fn files_are_read_or_passed_over() {
        let want: Vec<(String, Vec<u8>)> = [
            ("set/a.bin", vec![1; 513]),
            ("set/b.bin", vec![]),
            ("set/c.bin", vec![]),
            ("set/d.bin", vec![3]),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .to_vec();
        assert_eq!(files(&example()).unwrap(), want);
        assert_eq!(files(&gzip(&example())).unwrap(), want);
    }

    #[test]
    fn binary_sizes_are_read() {
        let octal = tar("", &[("a.bin", &[7; 513]), ("b.bin", &[8])]);
        let mut binary = octal.clone();
        let header = with_binary_size(octal[BLOCK..2 * BLOCK].to_vec(), 0x80, 513);
        binary[BLOCK..2 * BLOCK].copy_from_slice(&header);
        assert_ne!(binary, octal);
        assert_eq!(files(&binary).unwrap(), files(&octal).unwrap());
    }

    #[test]
    fn the_first_name_tells_what_it_is() {
        assert_eq!(first_name(&example()).as_deref(), Some("set/"));
        assert_eq!(first_name(&gzip(&example())).as_deref(), Some("set/"));
        assert_eq!(first_name(&gzip(&example())[..20]), None);
        assert_eq!(first_name(b"hello"), None);
    }

    #[test]
    fn broken_archives_are_refused() {
        let good = example();
        let packed = gzip(&good);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let sized = |mark, size| with_binary_size(header("a", 0, b'0'), mark, size);
        let above = {
            let mut bytes = header("a", 0, b'0');
            bytes[124..136].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
            let own: u32 = bytes[148..156].iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..155].copy_from_slice(format!("{:06o}\0", sum - own + 8 * 32).as_bytes());
            bytes
        };
        for (bytes, text) in [
            (Vec::new(), "expected 512 more bytes after 0, found the end after 0"),
            (good[..600].to_vec(), "found the end after 88"),
            (good[..1100].to_vec(), "expected 513 more bytes after 1024, found the end after 76"),
            (with(3, b'x'), "a header with its checksum"),
            // Negative, and without the mark.
            (sized(0xff, 1), "a size in octal digits, or in binary"),
            (sized(0x81, 1), "a size in octal digits, or in binary"),
            (above, "a size in octal digits, or in binary below 2^64"),
            (sized(0x80, 3), "expected 3 more bytes"),
            (packed[..packed.len() / 2].to_vec(), "is not valid tar"),
        ] {
            let error = files(&bytes).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_inflated() {
        let bomb = gzip(&tar("", &[("zeros.bin", &vec![0; 20 << 20])]));
        assert!(matches!(files(&bomb), Err(DatasetError::Inflates { .. })));
        // So is one that only claims to be large, in an archive that is not gzipped.
        let claim = header("a.bin", 17 << 30, b'0');
        assert!(matches!(files(&claim), Err(DatasetError::TooLarge { .. })));
    }
}
