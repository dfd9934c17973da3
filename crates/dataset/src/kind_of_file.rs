//! Recognises the kind of a single file by its first bytes and its length.

use crate::cifar::CifarKind;
use crate::idx::looks_like_idx;
use crate::image_format::looks_like_image;

/// The probable kind of a file; parsing may still find it invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A `.npy` array or a `.npz` archive.
    Numpy,
    /// IDX, gzipped or not.
    Idx,
    /// A binary CIFAR batch.
    Cifar,
    /// One encoded image.
    Image,
}

impl FileKind {
    /// How many bytes from the start are needed.
    pub const START: usize = 20;

    /// Recognises a file of `length` bytes by its first [`FileKind::START`] bytes, or fewer if it is shorter.
    ///
    /// CIFAR has no magic, only a length of whole records and labels in range. If the first image has label 0 and
    /// certain dark pixels, the file starts like an icon or an IDX file, but then the IDX dimensions imply another
    /// length.
    ///
    /// ```
    /// use dataset::FileKind;
    /// assert_eq!(FileKind::recognise(b"\x93NUMPY\x01\x00", 80), Some(FileKind::Numpy));
    /// assert_eq!(FileKind::recognise(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9], 10), Some(FileKind::Idx));
    /// assert_eq!(FileKind::recognise(&[9, 200, 200], 3073), Some(FileKind::Cifar));
    /// assert_eq!(FileKind::recognise(b"hello", 5), None);
    /// ```
    #[must_use]
    pub fn recognise(start: &[u8], length: u64) -> Option<Self> {
        if start.starts_with(b"\x93NUMPY") || start.starts_with(b"PK") {
            return Some(Self::Numpy);
        }
        let records = |kind: &CifarKind| length > 0 && length.is_multiple_of(kind.record() as u64);
        let mut kinds = [CifarKind::Cifar10, CifarKind::Cifar100].into_iter().filter(records);
        let whole_records = kinds.clone().next().is_some();
        let cifar = kinds.any(|kind| kind.may_begin(start));
        if looks_like_idx(start) && !(cifar && extents_miss(start, length)) {
            return Some(Self::Idx);
        }
        if !cifar && looks_like_image(start) {
            return Some(Self::Image);
        }
        // If the labels are invalid, parsing says what is wrong.
        whole_records.then_some(Self::Cifar)
    }
}

/// Whether the dimensions of a possible IDX file imply another length.
fn extents_miss(start: &[u8], length: u64) -> bool {
    let [0, 0, _, dimensions, extents @ ..] = start else { return false };
    let Some(extents) = extents.get(..4 * usize::from(*dimensions)) else { return true };
    let header = 4 + extents.len() as u64;
    let extents = extents.chunks_exact(4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
    extents.fold(1, u64::saturating_mul).saturating_add(header) != length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magics_come_first() {
        for (start, kind) in [
            (&b"\x93NUMPY\x01\x00"[..], FileKind::Numpy),
            (b"PK\x03\x04", FileKind::Numpy),
            (&[0x1f, 0x8b, 8], FileKind::Idx),
            (b"\x89PNG\r\n\x1a\n", FileKind::Image),
            (&[0xff, 0xd8, 0xff, 0xe0], FileKind::Image),
        ] {
            for length in [100, 3073, 3074] {
                assert_eq!(FileKind::recognise(start, length), Some(kind), "{start:?} {length}");
            }
        }
        assert_eq!(FileKind::recognise(&[0, 0, 8, 3], 100), Some(FileKind::Idx));
        assert_eq!(FileKind::recognise(&[], 0), None);
        assert_eq!(FileKind::recognise(&[11; 16], 3072), None);
        // The parser will explain a label that is out of range.
        assert_eq!(FileKind::recognise(&[11; 16], 3073), Some(FileKind::Cifar));
    }

    #[test]
    fn dark_pixels_do_not_look_like_idx() {
        // Label 0 and pixels 0, 8, 3: the magic of IDX with three dimensions.
        let start = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(FileKind::recognise(&start, 3073), Some(FileKind::Cifar));
        assert_eq!(FileKind::recognise(&start, 16 + 9), Some(FileKind::Idx));
        // Label 0 and pixels 0, 1, 0: the magic of an icon.
        assert_eq!(FileKind::recognise(&[0, 0, 1, 0, 1, 1], 2 * 3074), Some(FileKind::Cifar));
        // If the length fits, it is IDX, even with the length of a record.
        let whole = [0, 0, 8, 1, 0, 0, 0x0b, 0xf9];
        assert_eq!(FileKind::recognise(&whole, 3073), Some(FileKind::Idx));
    }
}
