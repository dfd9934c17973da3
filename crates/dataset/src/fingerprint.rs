//! What identifies a dataset: the hash of its pixels, or of its index if reading all images takes too long.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::cache::hex;
use crate::error::DatasetError;
use crate::padding::Padding;
use crate::set::Dataset;

/// The start of a fingerprint of an index.
const INDEX: &str = "index:";

/// Whether this is the fingerprint of an index.
pub(crate) fn is_of_index(fingerprint: &str) -> bool {
    fingerprint.starts_with(INDEX)
}

/// Over count, shape, labels and pixels with padding.
pub(crate) fn of_pixels(set: &Dataset, labelled: bool) -> Result<String, DatasetError> {
    let mut hash = Sha256::new();
    let (height, width, channels) = set.shape();
    for number in [set.len(), height, width, channels, usize::from(labelled)] {
        hash.update((number as u64).to_le_bytes());
    }
    let mut item = vec![0; height * width * channels];
    for index in 0..set.len() {
        hash.update(set.label(index).unwrap_or(0).to_le_bytes());
        set.read_into(index, &mut item)?;
        hash.update(&item);
    }
    Ok(hex(&hash.finalize()))
}

/// Over the identity of the encoded images, which of them are used, and their shape and padding.
pub(crate) fn of_index(set: &Dataset, identity: &[u8; 32], used: &Range<usize>) -> String {
    let mut hash = Sha256::new();
    hash.update(identity);
    let ((height, width, channels), Padding { top, bottom, left, right }) = (set.shape(), set.padding());
    for number in [used.start, used.end, height, width, channels, top, bottom, left, right] {
        hash.update((number as u64).to_le_bytes());
    }
    format!("{INDEX}{}", hex(&hash.finalize()))
}
