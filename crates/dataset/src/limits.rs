//! Limits the memory that a file may request, and reads files within those limits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::DatasetError;

/// Maximum size of a file that is read whole, in bytes; larger datasets belong in a folder of images.
pub(crate) const MAX_FILE: u64 = 16 << 30;
/// Maximum size of an encoded image, in bytes.
pub(crate) const MAX_ENCODED_IMAGE: u64 = 256 << 20;
/// Inflated bytes that are allowed whatever the ratio. Converting them to numbers briefly takes up to three times as
/// much.
const INFLATE_FREE: u64 = 16 << 20;
/// Above that, inflated bytes for each compressed one. Images stay below 50; deflate can reach 1032.
const INFLATE_RATIO: u64 = 200;

/// How much compressed data may inflate to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inflation {
    /// Bytes that the user allows, instead of the limit by compressed size.
    granted: Option<u64>,
}

impl Inflation {
    pub(crate) fn granted(bytes: Option<u64>) -> Self {
        Self { granted: bytes.map(|bytes| bytes.min(MAX_FILE)) }
    }

    /// How many bytes `compressed` bytes may inflate to.
    pub(crate) fn limit(self, compressed: u64) -> u64 {
        let by_size = compressed.saturating_mul(INFLATE_RATIO).clamp(INFLATE_FREE, MAX_FILE);
        self.granted.map_or(by_size, |granted| granted.max(by_size))
    }

    /// [`DatasetError::Inflates`] if `needed` exceeds what `compressed` bytes may inflate to.
    pub(crate) fn check(
        self,
        file: &str,
        what: &str,
        needed: u64,
        compressed: u64,
    ) -> Result<(), DatasetError> {
        let limit = self.limit(compressed);
        // The user cannot allow more than the maximum file size.
        check_size(file, what, needed, MAX_FILE)?;
        if needed > limit {
            let (file, what) = (file.to_owned(), what.to_owned());
            return Err(DatasetError::Inflates { file, what, needed, limit });
        }
        Ok(())
    }
}

/// Opens a regular file and returns its length. A pipe or a device is refused, since it may never end.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64), DatasetError> {
    let kind = std::fs::metadata(path).map_err(|e| DatasetError::io(path, "read", e))?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a device or pipe" };
        return Err(DatasetError::unsuitable(&path.display().to_string(), "a regular file", found));
    }
    let file = File::open(path).map_err(|e| DatasetError::io(path, "read", e))?;
    let length = file.metadata().map_err(|e| DatasetError::io(path, "read", e))?.len();
    Ok((file, length))
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DatasetError> {
    let (file, length) = open_regular(path)?;
    check_size(&path.display().to_string(), "the file", length, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // The file may grow meanwhile.
    file.take(limit).read_to_end(&mut bytes).map_err(|e| DatasetError::io(path, "read", e))?;
    Ok(bytes)
}

/// [`DatasetError::TooLarge`] if `needed` exceeds `limit`.
pub(crate) fn check_size(file: &str, what: &str, needed: u64, limit: u64) -> Result<(), DatasetError> {
    if needed > limit {
        return Err(DatasetError::TooLarge { file: file.to_owned(), what: what.to_owned(), needed, limit });
    }
    Ok(())
}

/// The product of `extents`; `None` if it, or any partial product without zeros, exceeds `isize::MAX`.
pub(crate) fn checked_product(extents: &[u64]) -> Option<usize> {
    // Count zeros as ones first: ndarray and npyz multiply partial products for their strides.
    let span = extents.iter().try_fold(1_u64, |span, &n| span.checked_mul(n.max(1)))?;
    let span = isize::try_from(span).ok()?;
    Some(if extents.contains(&0) { 0 } else { span.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_checked() {
        assert_eq!(checked_product(&[]), Some(1));
        assert_eq!(checked_product(&[2, 3, 4]), Some(24));
        assert_eq!(checked_product(&[2, 0, 4]), Some(0));
        assert_eq!(checked_product(&[1 << 32, 1 << 32]), None);
        assert_eq!(checked_product(&[0, 1 << 32, 1 << 32]), None);
        assert_eq!(checked_product(&[1 << 63]), None);
    }

    #[test]
    fn inflation_is_limited() {
        let limit = |compressed| Inflation::default().limit(compressed);
        assert_eq!(limit(0), INFLATE_FREE);
        assert_eq!(limit(1 << 20), 200 << 20);
        assert_eq!(limit(u64::MAX), MAX_FILE);
        // A user can raise the limit but not lower it, and not above the maximum file size.
        assert_eq!(Inflation::granted(Some(1)).limit(0), INFLATE_FREE);
        assert_eq!(Inflation::granted(Some(1 << 30)).limit(0), 1 << 30);
        assert_eq!(Inflation::granted(Some(u64::MAX)).limit(0), MAX_FILE);
        let error = Inflation::default().check("a", "b", INFLATE_FREE + 1, 9).unwrap_err();
        assert!(matches!(error, DatasetError::Inflates { limit: INFLATE_FREE, .. }));
        let error = Inflation::granted(Some(u64::MAX)).check("a", "b", MAX_FILE + 1, 9).unwrap_err();
        assert!(matches!(error, DatasetError::TooLarge { limit: MAX_FILE, .. }));
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open_regular(folder.path()), Err(DatasetError::Unsuitable { .. })));
        assert!(matches!(open_regular(&folder.path().join("none")), Err(DatasetError::Io { .. })));
        let file = folder.path().join("file");
        std::fs::write(&file, [1, 2, 3]).unwrap();
        assert_eq!(read_file(&file, 3).unwrap(), [1, 2, 3]);
        assert!(matches!(read_file(&file, 2), Err(DatasetError::TooLarge { needed: 3, limit: 2, .. })));
    }
}
