//! Safetensors files.

use std::path::Path;

use safetensors::SafeTensors;
use tensor_file::{Header, parse};

/// First byte of an input whose rest is a header; the two bytes after it say how many bytes of numbers follow that.
pub(crate) const HEADER: u8 = b'H';

/// A file, or a header that is made one with its length and as many zeros as said.
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
    assert_eq!(parse(Path::new("fuzz"), data).expect("it was taken a moment ago"), header);
    let text = u64::from_le_bytes(*data.first_chunk().expect("a length"));
    let mut ranges: Vec<_> = header.tensors.values().map(|tensor| tensor.range.clone()).collect();
    for tensor in header.tensors.values() {
        let size = tensor.shape.iter().product::<usize>() as u64 * tensor.dtype.bytes();
        assert_eq!(tensor.range.end - tensor.range.start, size);
    }
    // Each byte of the numbers belongs to one tensor.
    ranges.sort_by_key(|range| (range.start, range.end));
    let end = ranges.iter().fold(8 + text, |position, range| {
        assert_eq!(range.start, position);
        range.end
    });
    assert_eq!(end, data.len() as u64);
    agrees(&header, data);
}

/// What is taken here, the format's own parser takes, and sees the same in it.
fn agrees(header: &Header, data: &[u8]) {
    let theirs = SafeTensors::deserialize(data).expect("their parser refuses what ours takes");
    assert_eq!(theirs.len(), header.tensors.len());
    for (name, ours) in &header.tensors {
        let theirs = theirs.tensor(name).expect("their parser misses a tensor");
        assert_eq!(theirs.shape(), ours.shape);
        assert_eq!(theirs.dtype().to_string(), ours.dtype.name());
        assert_eq!(theirs.data(), &data[ours.range.start as usize..ours.range.end as usize]);
    }
}
