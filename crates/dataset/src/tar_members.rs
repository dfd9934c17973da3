//! Walks the headers of a tar archive (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU tar) and passes over the data, so that
//! a large archive is indexed without reading it.

use std::fs::File;
use std::io;

use crate::error::DatasetError;
use crate::store::read_at;
use crate::tar::{BLOCK, FORMAT, checked_size, text};

/// Maximum size of a long name or of a pax header, in bytes.
const MAX_NAME: u64 = 1 << 16;
/// Bytes read at a time: several headers of small files, little of a large one.
const WINDOW: usize = 8 << 10;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: String,
    /// Where its data begin in the archive.
    pub(crate) offset: u64,
    /// Its size in bytes; all of them are in the archive.
    pub(crate) size: u64,
}

/// The files of an archive, one after the other.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// For error messages.
    name: &'a str,
    window: Window<'a>,
    /// Where the next header begins.
    at: u64,
    special: usize,
}

/// What extra headers say about the next file.
#[derive(Debug, Default)]
struct Told {
    path: Option<String>,
    size: Option<u64>,
}

impl<'a> Members<'a> {
    /// Begins at the start of an archive of `length` bytes that is not compressed.
    pub(crate) fn new(name: &'a str, file: &'a File, length: u64) -> Self {
        let window = Window { file, length, start: 0, bytes: Vec::new() };
        Self { name, window, at: 0, special: 0 }
    }

    /// How many links and devices were passed over so far.
    pub(crate) fn special(&self) -> usize {
        self.special
    }

    /// The next file. Folders, links and devices are passed over.
    pub(crate) fn advance(&mut self) -> Result<Option<Found>, DatasetError> {
        let mut told = Told::default();
        loop {
            let header = self.bytes(self.at, BLOCK as u64)?.to_vec();
            if header.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            let size = checked_size(self.name, &header)?;
            let offset = self.at + BLOCK as u64;
            let kind = header[156];
            // Links, devices and folders have no data, whatever their size says.
            if matches!(kind, b'1'..=b'6') {
                self.special += usize::from(kind != b'5');
                (self.at, told) = (offset, Told::default());
                continue;
            }
            let is_file = matches!(kind, b'0' | b'7' | 0);
            let size = told.size.filter(|_| is_file).unwrap_or(size);
            let end = offset.checked_add(size).filter(|&end| end <= self.window.length);
            let Some(end) = end else {
                return Err(self.ended(size, offset));
            };
            self.at = end.next_multiple_of(BLOCK as u64);
            match kind {
                b'L' => told.path = Some(text(self.name_bytes(offset, size)?)),
                b'x' => {
                    let name = self.name;
                    told.read(name, self.name_bytes(offset, size)?)?;
                }
                // The long name of a link, and what holds for all files.
                b'K' | b'g' => {}
                b'S' => return Err(sparse(self.name, &text(&header[..100]))),
                _ if is_file => {
                    let path = told.path.unwrap_or_else(|| path(&header));
                    return Ok(Some(Found { path, offset, size }));
                }
                _ => {
                    self.special += 1;
                    told = Told::default();
                }
            }
        }
    }

    /// The data of a small file.
    pub(crate) fn data(&mut self, found: &Found) -> Result<&[u8], DatasetError> {
        self.name_bytes(found.offset, found.size)
    }

    fn name_bytes(&mut self, at: u64, count: u64) -> Result<&[u8], DatasetError> {
        if count > MAX_NAME {
            let expected = format!("at most {MAX_NAME} bytes of names or of a class");
            return Err(DatasetError::malformed(self.name, FORMAT, expected, count.to_string()));
        }
        self.bytes(at, count)
    }

    /// At most [`MAX_NAME`] bytes.
    fn bytes(&mut self, at: u64, count: u64) -> Result<&[u8], DatasetError> {
        if at.checked_add(count).is_none_or(|end| end > self.window.length) {
            return Err(self.ended(count, at));
        }
        let name = self.name;
        let damaged = |e: io::Error| DatasetError::malformed(name, FORMAT, "intact data", e.to_string());
        self.window.get(at, count as usize).map_err(damaged)
    }

    fn ended(&self, expected: u64, at: u64) -> DatasetError {
        let found = format!("the end after {}", self.window.length.saturating_sub(at));
        let expected = format!("{expected} more bytes after {at}");
        DatasetError::malformed(self.name, FORMAT, expected, found)
    }
}

impl Told {
    /// Reads the records of a pax header: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
    fn read(&mut self, name: &str, mut records: &[u8]) -> Result<(), DatasetError> {
        let wrong = |found: &[u8]| {
            let found = format!("{:?}", String::from_utf8_lossy(&found[..found.len().min(40)]));
            DatasetError::malformed(name, FORMAT, "records LENGTH KEY=VALUE", found)
        };
        while !records.is_empty() && records[0] != 0 {
            let space = records.iter().take(8).position(|&byte| byte == b' ');
            let space = space.ok_or_else(|| wrong(records))?;
            let length = text(&records[..space]).parse::<usize>().ok();
            let record = length.and_then(|length| records.get(space + 1..length)?.strip_suffix(b"\n"));
            let record = record.ok_or_else(|| wrong(records))?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(|| wrong(record))?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(text(value)),
                b"size" => self.size = Some(text(value).parse().map_err(|_| wrong(record))?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(sparse(name, self.path.as_deref().unwrap_or_default()));
                }
                _ => {}
            }
            records = &records[space + 1 + record.len() + 1..];
        }
        Ok(())
    }
}

/// The path in a header. Only ustar continues long ones in a prefix; GNU tar keeps times there.
fn path(header: &[u8]) -> String {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    if header[257..263] == *b"ustar\0" && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

fn sparse(name: &str, path: &str) -> DatasetError {
    DatasetError::malformed(name, FORMAT, "files that are stored whole", format!("the sparse file {path:?}"))
}

/// A part of the file.
#[derive(Debug)]
struct Window<'a> {
    file: &'a File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Bytes that lie within the file.
    fn get(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let within = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let within = within.filter(|skip| skip.checked_add(count).is_some_and(|end| end <= self.bytes.len()));
        if let Some(skip) = within {
            return Ok(&self.bytes[skip..skip + count]);
        }
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        self.bytes.clear();
        self.bytes.resize(WINDOW.max(count).min(left), 0);
        self.start = at;
        if let Err(error) = read_at(self.file, at, &mut self.bytes) {
            self.bytes.clear();
            return Err(error);
        }
        Ok(&self.bytes[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::tests::{header, tar, with_binary_size};

    /// A block header of this kind with its data in whole blocks.
    fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = header(name, data.len() as u64, kind);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        [members.concat(), vec![0; 2 * BLOCK]].concat()
    }

    /// A pax record, whose length counts itself.
    fn record(key: &str, value: &str) -> Vec<u8> {
        let bare = key.len() + value.len() + 3;
        let length = (1..4).map(|digits| bare + digits).find(|n| n.to_string().len() + bare == *n).unwrap();
        format!("{length} {key}={value}\n").into_bytes()
    }

    /// Path and data of every file, and how many others there are.
    type Walked = (Vec<(String, Vec<u8>)>, usize);

    fn walk(bytes: &[u8]) -> Result<Walked, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let mut members = Members::new("a.tar", &file, bytes.len() as u64);
        let mut files = Vec::new();
        while let Some(found) = members.advance()? {
            let data = bytes[found.offset as usize..][..found.size as usize].to_vec();
            if found.size <= MAX_NAME {
                assert_eq!(members.data(&found)?, data);
            }
            files.push((found.path, data));
        }
        Ok((files, members.special()))
    }

    #[test]
    fn files_have_their_place_and_size() {
        let large = vec![3; 3 * WINDOW];
        let bytes = tar("set/", &[("a.png", &[1; 513]), ("b.png", &large), ("c.cls", b"7"), ("d", &[])]);
        let (files, special) = walk(&bytes).unwrap();
        let want =
            [("set/a.png", vec![1; 513]), ("set/b.png", large), ("set/c.cls", vec![b'7']), ("set/d", vec![])];
        assert_eq!(files, want.map(|(name, data)| (name.to_owned(), data)));
        assert_eq!(special, 0);
        // GNU tar writes large sizes in binary.
        let mut binary = bytes.clone();
        let header = with_binary_size(bytes[BLOCK..2 * BLOCK].to_vec(), 0x80, 513);
        binary[BLOCK..2 * BLOCK].copy_from_slice(&header);
        assert_eq!(walk(&binary).unwrap().0, files);
    }

    #[test]
    fn links_and_devices_are_counted_and_long_names_are_read() {
        let long = "x".repeat(300);
        let pax = [record("mtime", "1.5"), record("path", "other.png"), record("size", "2")].concat();
        let mut prefixed = header("b.png", 0, b'0');
        // The checksum follows from the new bytes.
        prefixed[262..265].copy_from_slice(b"\x0000");
        prefixed[345..350].copy_from_slice(b"outer");
        let sum: u32 = prefixed.iter().map(|&b| u32::from(b)).sum();
        let own: u32 = prefixed[148..156].iter().map(|&b| u32::from(b)).sum();
        prefixed[148..155].copy_from_slice(format!("{:06o}\0", sum - own + 8 * 32).as_bytes());
        let bytes = archive(&[
            member("g", b'g', &record("comment", "all")),
            member("link", b'2', &[]),
            member("pipe", b'6', &[]),
            member("folder", b'5', &[]),
            member("odd", b'V', b"label"),
            member("././@LongLink", b'L', format!("{long}\0").as_bytes()),
            member("short", b'0', b"1"),
            member("pax", b'x', &pax),
            member("name", b'0', b"23"),
            prefixed,
        ]);
        let (files, special) = walk(&bytes).unwrap();
        let want = [(long.as_str(), &b"1"[..]), ("other.png", b"23"), ("outer/b.png", b"")];
        assert_eq!(files, want.map(|(name, data)| (name.to_owned(), data.to_vec())));
        assert_eq!(special, 3);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let good = tar("", &[("a.png", &[1; 513])]);
        let cut = good[..2100].to_vec();
        let mut sum = good.clone();
        sum[513] ^= 1;
        let sized = |mark, size| with_binary_size(header("a", 0, b'0'), mark, size);
        let record = |text: &str| archive(&[member("pax", b'x', text.as_bytes()), member("a", b'0', b"1")]);
        for (bytes, text) in [
            (Vec::new(), "expected 512 more bytes after 0, found the end after 0"),
            (cut, "expected 512 more bytes after 2048, found the end after 52"),
            (good[..1200].to_vec(), "expected 513 more bytes after 1024, found the end after 176"),
            (sum, "a header with its checksum"),
            (header("a", 0o77_777_777_777, b'0'), "expected 8589934591 more bytes after 512"),
            (sized(0x80, u64::MAX), "expected 18446744073709551615 more bytes after 512"),
            (sized(0xff, u64::MAX), "a size in octal digits, or in binary"),
            (archive(&[member("a", b'L', &vec![b'x'; 70_000])]), "at most 65536 bytes of names"),
            (archive(&[member("a", b'S', b"1")]), "the sparse file \"a\""),
            (record("9 path=ab\n99 size=1\n"), "records LENGTH KEY=VALUE"),
            (record("x"), "records LENGTH KEY=VALUE"),
            (record("0 a=b\n"), "records LENGTH KEY=VALUE"),
            (record("8 size=\n"), "records LENGTH KEY=VALUE"),
            (record("10 size=x\n"), "records LENGTH KEY=VALUE"),
            (record("29 size=18446744073709551615\n"), "expected 18446744073709551615 more bytes"),
            (record("25 GNU.sparse.major=1000\n"), "the sparse file"),
        ] {
            let error = walk(&bytes).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }
}
