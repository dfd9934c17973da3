//! IDX files, bare and gzipped.

use dataset::{AnyArray, Dataset, FileKind, parse_idx, to_images, to_labels};
use ndarray::ArrayD;

use crate::gzip;

/// A bare IDX file: accepted bytes are exactly those of the encoded array.
pub(crate) fn body(data: &[u8]) {
    let Ok(array) = parse_idx("fuzz", data) else { return };
    assert_eq!(
        FileKind::recognise(&data[..data.len().min(FileKind::START)], data.len() as u64),
        Some(FileKind::Idx)
    );
    if data.first() == Some(&0) {
        assert_eq!(encode(&array), data, "an IDX file has only one form");
    }
    as_data(array);
}

/// A gzip file. With an odd first byte the rest is wrapped into one, which must change nothing.
pub(crate) fn gzipped(data: &[u8]) {
    match data.split_first() {
        Some((mode, rest)) if mode % 2 == 1 && *mode != 0x1f => {
            let bare = parse_idx("fuzz", rest);
            let wrapped = parse_idx("fuzz", &gzip::stored(rest));
            // Nested gzip is inflated once, not twice.
            if !rest.starts_with(&[0x1f, 0x8b]) {
                assert_eq!(bare.ok(), wrapped.ok());
            }
        }
        _ => {
            if let Ok(array) = parse_idx("fuzz", data) {
                assert_eq!(parse_idx("fuzz", &gzip::stored(&encode(&array))).ok().as_ref(), Some(&array));
                as_data(array);
            }
        }
    }
}

/// The file as the only file of an array.
pub(crate) fn encode(array: &ArrayD<u8>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, array.ndim() as u8];
    bytes.extend(array.shape().iter().flat_map(|&n| (n as u32).to_be_bytes()));
    bytes.extend(array);
    bytes
}

/// An array of bytes is read as images or labels, or refused as either.
fn as_data(array: ArrayD<u8>) {
    let count = array.shape().first().copied().unwrap_or(0);
    if let Ok(labels) = to_labels("fuzz", AnyArray::U8(array.clone()), count)
        // Rows of more than one are one-hot.
        && array.len() == count
    {
        assert!(labels.iter().copied().eq(array.iter().map(|&label| u32::from(label))));
    }
    let Ok(images) = to_images("fuzz", AnyArray::U8(array.clone())) else { return };
    assert_eq!(images.len(), array.len());
    let (count, height, width, channels) = images.dim();
    assert_eq!(count, array.shape()[0]);
    let set = Dataset::from_array(images, None).expect("images make a data set");
    assert_eq!((set.len(), set.shape()), (count, (height, width, channels)));
    assert_eq!(set.image(count - 1).expect("the last image").dim(), set.shape());
}
