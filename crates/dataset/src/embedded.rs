//! The embedded dataset: a stratified subset of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) with 10,000 training and
//! 2,000 test images of 28x28 grey pixels in ten classes.

use std::io::Cursor;

use ndarray::{Array4, Axis, Ix1, Ix3};

use crate::error::DatasetError;
use crate::npz::Npz;
use crate::split::Split;

/// Made by `scripts/make_embedded_set.py`; MIT licence, see `assets/fashion-mnist.LICENSE`.
const ARCHIVE: &[u8] = include_bytes!("../assets/fashion-mnist-12k.npz");
const NAME: &str = "embedded fashion-mnist";

/// Class names of Fashion-MNIST in label order.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Images `[n, 28, 28, 1]` and labels of one split.
pub(crate) fn load(split: Split) -> Result<(Array4<u8>, Vec<u32>), DatasetError> {
    let prefix = match split {
        Split::Train | Split::Test => split.to_string(),
        asked @ Split::Validation => {
            let found = vec![Split::Train, Split::Test];
            return Err(DatasetError::NoPart { file: NAME.to_owned(), asked, found });
        }
    };
    let mut npz = Npz::new(NAME, Cursor::new(ARCHIVE))?;
    let images = npz.array(&format!("{prefix}_images"))?.into_u8(NAME)?;
    let labels = npz.array(&format!("{prefix}_labels"))?.into_u8(NAME)?;
    let wrong = |e: ndarray::ShapeError| DatasetError::unsuitable(NAME, "[n, 28, 28] and [n]", e.to_string());
    let images = images.into_dimensionality::<Ix3>().map_err(wrong)?.insert_axis(Axis(3));
    let labels = labels.into_dimensionality::<Ix1>().map_err(wrong)?;
    Ok((images, labels.iter().map(|&l| u32::from(l)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_archive_is_the_recorded_one() {
        let recorded = include_str!("../assets/fashion-mnist-12k.npz.sha256");
        let digest: String = Sha256::digest(ARCHIVE).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(recorded.split_whitespace().next(), Some(digest.as_str()));
        assert!(ARCHIVE.len() <= 6_000_000);
    }

    #[test]
    fn every_class_is_equally_frequent() {
        for (split, per_class) in [(Split::Train, 1000), (Split::Test, 200)] {
            let (images, labels) = load(split).unwrap();
            assert_eq!(images.dim(), (10 * per_class, 28, 28, 1));
            for class in 0..10 {
                assert_eq!(labels.iter().filter(|&&l| l == class).count(), per_class);
            }
            // Any prefix is a mixture of classes.
            let seen: std::collections::HashSet<_> = labels[..100].iter().collect();
            assert_eq!(seen.len(), 10);
        }
    }
}
