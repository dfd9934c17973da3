//! A growing `.npy` file. It is valid after every part, so its content survives however the program ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView4;

use crate::array::AnyArray;
use crate::error::DatasetError;
use crate::limits::open_regular;
use crate::npz_write::{Images, write_npz_with};

/// Bytes before the items: numpy requires a multiple of 64, and the longest shape needs more than 64.
const HEADER: u64 = 128;
/// Magic, version and the length of the header text.
const BEFORE_TEXT: usize = 10;
/// The text up to the shape.
const TEXT: &str = "{'descr': '|u1', 'fortran_order': False, 'shape': (";

/// A growing file of u8 images `[n, h, w, c]`.
#[derive(Debug)]
pub struct GrowingNpy {
    file: File,
    path: PathBuf,
    /// `[h, w, c]`.
    item: [usize; 3],
    count: usize,
}

impl GrowingNpy {
    /// Creates an empty file for images `[h, w, c]`. A file that an earlier run left there is replaced.
    ///
    /// # Errors
    /// [`DatasetError::Io`].
    pub fn create(path: &Path, item: [usize; 3]) -> Result<Self, DatasetError> {
        let wrong = |e| DatasetError::io(path, "write", e);
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => fs::remove_file(path).map_err(wrong)?,
            // If something other than a file is there, creating it below fails.
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(wrong)?;
        let mut growing = Self { file, path: path.to_owned(), item, count: 0 };
        growing.write_header().map_err(wrong)?;
        Ok(growing)
    }

    /// Whether a file begins like those of this type, whichever process wrote it.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let Ok((mut file, _)) = open_regular(path) else { return false };
        let mut header = [0; HEADER as usize];
        file.read_exact(&mut header).is_ok()
            && header.strip_prefix(&before_text()[..]).is_some_and(|text| text.starts_with(TEXT.as_bytes()))
    }

    /// Appends images `[b, h, w, c]`. If that fails, the file holds the images before them.
    ///
    /// # Errors
    /// [`DatasetError::Io`]; [`DatasetError::Shape`] for images of another shape.
    pub fn append(&mut self, images: ArrayView4<'_, u8>) -> Result<(), DatasetError> {
        let (count, height, width, channels) = images.dim();
        if [height, width, channels] != self.item {
            let expected = [&[count], &self.item[..]].concat();
            return Err(DatasetError::Shape { what: "images", expected, got: images.shape().to_vec() });
        }
        let bytes: Vec<u8> = images.iter().copied().collect();
        self.add(&bytes, count).map_err(|e| DatasetError::io(&self.path, "write", e))
    }

    fn add(&mut self, bytes: &[u8], count: usize) -> io::Result<()> {
        let end = HEADER + (self.count * self.item.iter().product::<usize>()) as u64;
        self.file.seek(SeekFrom::Start(end))?;
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Bytes after the images that the header counts are useless.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        // The images are on disk before the header counts them.
        self.count += count;
        self.write_header()
    }

    /// The number of images so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes the images as the array `images` of an archive, followed by other arrays, and removes this file. If that
    /// fails, this file stays.
    ///
    /// # Errors
    /// [`DatasetError::Io`].
    pub fn into_npz(mut self, path: &Path, others: &[(&str, AnyArray)]) -> Result<(), DatasetError> {
        let wrong = |e| DatasetError::io(&self.path, "write", e);
        self.file.seek(SeekFrom::Start(HEADER)).map_err(wrong)?;
        let [height, width, channels] = self.item;
        let shape = [self.count, height, width, channels];
        let bytes = shape.iter().product::<usize>() as u64;
        write_npz_with(path, Some(Images { shape, from: &mut (&self.file).take(bytes) }), others)?;
        fs::remove_file(&self.path).map_err(wrong)
    }

    fn write_header(&mut self) -> io::Result<()> {
        let [height, width, channels] = self.item;
        let text = format!("{TEXT}{}, {height}, {width}, {channels}), }}", self.count);
        let room = HEADER as usize - BEFORE_TEXT;
        let mut header = before_text();
        // The format requires spaces up to the newline.
        header.extend(format!("{text:<width$}\n", width = room - 1).bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)
    }
}

/// Magic, version and the length of the header text.
fn before_text() -> Vec<u8> {
    let room = HEADER as usize - BEFORE_TEXT;
    [&b"\x93NUMPY\x01\x00"[..], &(room as u16).to_le_bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Npz, read_npy, write_npz};
    use ndarray::{Array4, Axis, array};

    fn images(count: usize) -> Array4<u8> {
        Array4::from_shape_fn((count, 2, 3, 1), |(n, y, x, _)| (n * 7 + y * 3 + x) as u8)
    }

    #[test]
    fn it_is_valid_after_every_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, "of an earlier run").unwrap();
        assert!(!GrowingNpy::is_at(&path) && !GrowingNpy::is_at(folder.path()));
        let (all, mut growing) = (images(12), GrowingNpy::create(&path, [2, 3, 1]).unwrap());
        for end in [0, 5, 10, 11] {
            let part = all.slice_axis(Axis(0), (growing.count()..end).into());
            growing.append(part).unwrap();
            assert!(GrowingNpy::is_at(&path));
            let read = read_npy(&path).unwrap();
            assert_eq!(
                read,
                AnyArray::U8(all.slice_axis(Axis(0), (..end).into()).to_owned().into_dyn()),
                "{end}"
            );
        }
        assert!(matches!(
            growing.append(Array4::zeros((1, 3, 2, 1)).view()),
            Err(DatasetError::Shape { .. })
        ));
        assert_eq!(growing.count(), 11);
    }

    #[cfg(unix)]
    #[test]
    fn anything_but_a_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        let error = GrowingNpy::create(&path, [2, 3, 1]).unwrap_err();
        assert!(matches!(error, DatasetError::Io { action: "write", .. }), "{error}");
        assert!(path.is_symlink() && !folder.path().join("elsewhere").exists());
    }

    #[test]
    fn the_archive_equals_that_of_the_whole_array() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut growing = GrowingNpy::create(&at("a.npy"), [2, 3, 1]).unwrap();
        growing.append(images(40_000).view()).unwrap();
        let labels = || ("labels", AnyArray::from(array![3_i64, 4]));
        growing.into_npz(&at("a.npz"), &[labels()]).unwrap();
        assert!(!at("a.npy").exists());
        write_npz(&at("b.npz"), &[("images", AnyArray::U8(images(40_000).into_dyn())), labels()]).unwrap();
        assert_eq!(std::fs::read(at("a.npz")).unwrap(), std::fs::read(at("b.npz")).unwrap());
        assert_eq!(Npz::open(&at("a.npz")).unwrap().array("images").unwrap().shape(), [40_000, 2, 3, 1]);
    }

    #[test]
    fn if_the_archive_cannot_be_written_the_images_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("a.npz")).unwrap();
        let mut growing = GrowingNpy::create(&at("a.npy"), [2, 3, 1]).unwrap();
        growing.append(images(3).view()).unwrap();
        assert!(growing.into_npz(&at("a.npz"), &[]).is_err());
        assert_eq!(read_npy(&at("a.npy")).unwrap().shape(), [3, 2, 3, 1]);
    }
}
