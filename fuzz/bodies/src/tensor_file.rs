//! Safetensors files.

use std::path::Path;

use safetensors::SafeTensors;
use tensor_file::{Header, parse};

/// First byte of an input whose rest is a header; the next two bytes give the number of data bytes after it.
pub(crate) const HEADER: u8 = b'H';

/// A file, or a header that is completed to one with its length and that many zeros.
pub(crate) fn body(data: &[u8]) {
    match data {
        [HEADER, low, high, header @ ..] => {
            let numbers = usize::from(u16::from_le_bytes([*low, *high]));
            check(&[&(header.len() as u64).to_le_bytes()[..], header, &vec![0; numbers]].concat());
        }
        _ => check(data),
    }
}

fn check(data: &[u8]) {
    let Ok(header) = parse(Path::new("fuzz"), data) else { return };
    assert_eq!(parse(Path::new("fuzz"), data).expect("it was accepted a moment ago"), header);
    let text = u64::from_le_bytes(*data.first_chunk().expect("a length"));
    let mut ranges: Vec<_> = header.tensors.values().map(|tensor| tensor.range.clone()).collect();
    for tensor in header.tensors.values() {
        let size = tensor.shape.iter().product::<usize>() as u64 * tensor.dtype.bytes();
        assert_eq!(tensor.range.end - tensor.range.start, size);
    }
    // Each data byte belongs to one tensor.
    ranges.sort_by_key(|range| (range.start, range.end));
    let end = ranges.iter().fold(8 + text, |position, range| {
        assert_eq!(range.start, position);
        range.end
    });
    assert_eq!(end, data.len() as u64);
    agrees(&header, data);
}

/// The safetensors crate accepts whatever we accept, and reads the same from it.
fn agrees(header: &Header, data: &[u8]) {
    let theirs = SafeTensors::deserialize(data).expect("their parser should accept what ours accepts");
    assert_eq!(theirs.len(), header.tensors.len());
    for (name, ours) in &header.tensors {
        let theirs = theirs.tensor(name).expect("their parser should find the tensor");
        assert_eq!(theirs.shape(), ours.shape);
        assert_eq!(theirs.dtype().to_string(), ours.dtype.name());
        assert_eq!(theirs.data(), &data[ours.range.start as usize..ours.range.end as usize]);
    }
}
