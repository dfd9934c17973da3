//! The images that are built into the program, read from `assets/` without linking the crate that has them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

/// Rows and columns of an image.
pub(super) const SIDE: usize = 28;
/// Pixels of an image.
const PIXELS: usize = SIDE * SIDE;
/// Bytes that are read of an array at most; that of the images has 7.8 million.
const MOST: u64 = 64 << 20;

/// Grey images and their labels.
#[derive(Debug)]
pub(super) struct Embedded {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Embedded {
    /// Reads the training images of the `.npz` archive.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || path.display().to_string();
        let mut archive = zip::ZipArchive::new(File::open(path).with_context(what)?).with_context(what)?;
        let mut array = |name: &str| -> anyhow::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let entry = archive.by_name(name).with_context(|| format!("{}: {name}", path.display()))?;
            entry.take(MOST).read_to_end(&mut bytes).with_context(what)?;
            elements(&bytes).with_context(|| format!("{}: {name}", path.display()))
        };
        Self::new(array("train_images.npy")?, array("train_labels.npy")?).with_context(what)
    }

    fn new(pixels: Vec<u8>, labels: Vec<u8>) -> anyhow::Result<Self> {
        let (images, expected) = (pixels.len() / PIXELS, labels.len());
        ensure!(
            expected > 0 && pixels.len() == expected * PIXELS,
            "expected {expected} images of {SIDE}x{SIDE} pixels, found {images} in {} bytes",
            pixels.len()
        );
        Ok(Self { pixels, labels })
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Pixels and label of an image below [`Embedded::len`].
    pub(super) fn image(&self, index: usize) -> (&[u8], u8) {
        (&self.pixels[index * PIXELS..(index + 1) * PIXELS], self.labels[index])
    }
}

/// The bytes behind the header of an array of u8 in version 1 of the format: magic, version, length of the header, header.
fn elements(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let header =
        bytes.strip_prefix(b"\x93NUMPY\x01\x00").context("expected a .npy array, found other bytes")?;
    let (length, rest) = header.split_at_checked(2).context("expected a header, found the end")?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (header, data) = rest.split_at_checked(length).context("expected a header, found the end")?;
    let header = String::from_utf8_lossy(header);
    ensure!(header.contains("'|u1'") && header.contains("False"), "expected u8 in C order, found {header}");
    Ok(data.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two images with the labels 3 and 4.
    pub(in crate::stream_demo) fn two() -> Embedded {
        let pixels = (0..2 * PIXELS).map(|place| (place % 251) as u8).collect();
        Embedded::new(pixels, vec![3, 4]).unwrap()
    }

    #[test]
    fn the_shipped_archive_has_images_of_ten_classes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/fashion-mnist-12k.npz");
        let embedded = Embedded::read(&path).unwrap();
        assert_eq!(embedded.len(), 10_000);
        for class in 0..10 {
            assert_eq!((0..10_000).filter(|&index| embedded.image(index).1 == class).count(), 1000);
        }
        let (pixels, _) = embedded.image(9_999);
        assert!(pixels.len() == PIXELS && pixels.iter().any(|&pixel| pixel > 0));
    }

    #[test]
    fn other_arrays_are_refused() {
        for (bytes, reason) in [
            (&b"PK"[..], "expected a .npy array"),
            (b"\x93NUMPY\x01\x00", "expected a header"),
            (b"\x93NUMPY\x01\x00\xff\xff{}", "expected a header"),
            (b"\x93NUMPY\x01\x00\x02\x00{}", "expected u8 in C order, found {}"),
        ] {
            let error = elements(bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(Embedded::new(vec![0; PIXELS + 1], vec![0]).is_err());
        assert!(Embedded::new(Vec::new(), Vec::new()).is_err());
    }
}
