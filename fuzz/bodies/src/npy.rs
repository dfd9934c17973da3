//! `.npy` arrays.

use std::io;

use dataset::{AnyArray, DatasetError, FileKind, encode_npy, parse_npy, to_images, to_labels};

/// A file: accepted arrays are written in one canonical form, which reads back unchanged.
pub(crate) fn body(data: &[u8]) {
    let length = data.len() as u64;
    let Ok(array) = parse_npy("fuzz", data, length) else { return };
    assert_eq!(FileKind::recognise(&data[..data.len().min(FileKind::START)], length), Some(FileKind::Numpy));
    check(array);
    // A wrong file length is refused, even if all else is right.
    assert!(parse_npy("fuzz", data, length + 1).is_err());
}

/// Checks every array that was read, and whatever it can be read as.
pub(crate) fn check(array: AnyArray) {
    let written = encode(&array).expect("memory should take all");
    let back = parse_npy("fuzz", &written[..], written.len() as u64).expect("written data should read back");
    assert_eq!(back.shape(), array.shape());
    // Compare bytes: NaN is not equal to itself.
    assert_eq!(encode(&back).expect("memory should take all"), written);

    let count = array.shape().first().copied().unwrap_or(0);
    if let Ok(labels) = to_labels("fuzz", array.clone(), count) {
        assert_eq!(labels.len(), count);
    }
    match to_images("fuzz", array.clone()) {
        Ok(images) => {
            assert_eq!(images.dim().0, count);
            assert!([1, 3].contains(&images.dim().3));
            assert_eq!(images.len(), array.shape().iter().product::<usize>());
        }
        Err(DatasetError::Empty { .. }) => assert_eq!(count, 0),
        Err(_) => {}
    }
    let size = array.shape().iter().product::<usize>();
    if let Ok(integers) = array.clone().into_i64("fuzz") {
        assert_eq!(integers.len(), size);
    }
    assert_eq!(array.into_f32().len(), size);
}

/// An array in canonical form.
pub(crate) fn encode(array: &AnyArray) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match array {
        AnyArray::U8(a) => encode_npy(&mut bytes, a)?,
        AnyArray::I64(a) => encode_npy(&mut bytes, a)?,
        AnyArray::F32(a) => encode_npy(&mut bytes, a)?,
        AnyArray::F64(a) => encode_npy(&mut bytes, a)?,
        _ => {}
    }
    Ok(bytes)
}
