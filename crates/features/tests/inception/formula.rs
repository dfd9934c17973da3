//! The same weights and images as in `scripts/make_inception_goldens.py`: a hash of a name and an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array4;
use tensor_io::Named;

/// Numbers in [0, 1) for the elements of a tensor: SplitMix64's finaliser applied to FNV-1a of the name plus the index.
fn hashed(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325, fold);
    (0..count as u64).map(move |place| {
        let mut z = start.wrapping_add(place).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// `[1, h, w, c]`.
pub(crate) fn image([height, width, channels]: [usize; 3]) -> Array4<u8> {
    let count = height * width * channels;
    let bytes = hashed(&format!("image {height} {width} {channels}"), count).enumerate();
    let bytes = bytes.map(|(place, u)| {
        let row = place / (width * channels);
        (128.0 * u + 127.0 * row as f64 / height as f64) as u8
    });
    Array4::from_shape_vec((1, height, width, channels), bytes.collect()).unwrap()
}

fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape[1..].iter().product();
    // The smallest value, and the range above it.
    let (least, span) = match name.rsplit_once(".bn.") {
        Some((_, "weight")) => (0.9, 0.2),
        Some((_, "running_var")) => (0.75, 0.5),
        _ if shape.len() == 1 => (-0.2, 0.4),
        _ => {
            let most = (6.0 / fan_in as f64).sqrt();
            (-most, 2.0 * most)
        }
    };
    hashed(name, shape.iter().product()).map(|u| (least + span * u) as f32).collect()
}

/// All weights.
pub(crate) fn weights() -> Vec<Named> {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let size: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let tensor = tensor_io::from_slice(&numbers(&name, &shape), &size).unwrap();
        (name, tensor)
    };
    shapes().into_iter().map(tensor).collect()
}

/// Writes a file as `scripts/convert_inception.py` would, with these weights.
pub(crate) fn file(weights: &[Named], folder: &Path, resize: &str) -> PathBuf {
    let strings = [("kind", "inception-v3-fid"), ("resize", resize)];
    let metadata: BTreeMap<_, _> = strings.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    let path = folder.join(format!("{resize}.safetensors"));
    std::fs::write(&path, tensor_io::serialize_with(weights, &metadata).unwrap()).unwrap();
    path
}

/// The contents of the file: name, outputs, inputs and kernel of each convolution, from the state dict that PyTorch
/// lists.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    for line in include_str!("layers.txt").lines() {
        let (name, size) = line.split_once(' ').unwrap();
        let size: Vec<usize> = size.split(' ').map(|number| number.parse().unwrap()).collect();
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{name}.bn.{part}"), vec![size[0]]));
        }
        shapes.push((format!("{name}.conv.weight"), size));
    }
    shapes.push(("fc.weight".to_owned(), vec![1008, 2048]));
    shapes.push(("fc.bias".to_owned(), vec![1008]));
    shapes
}
