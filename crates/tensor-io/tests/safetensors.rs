//! Round trips, and every way in which a file can fail to match.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tch::{Kind, Tensor};
use tensor_io::{Mismatch, Named, TensorIoError, load_into, read, read_header, save, serialize};

fn named(tensors: &[(&str, Tensor)]) -> Vec<Named> {
    tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect()
}

fn model() -> Vec<Named> {
    named(&[
        ("a.weight", Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3])),
        ("b.bias", Tensor::from_slice(&[7.0_f32, 8.0])),
        ("step", Tensor::from_slice(&[9_i64])),
    ])
}

fn file(tensors: &[Named]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    save(&path, tensors).unwrap();
    (folder, path)
}

fn zeros_like(tensors: &[Named]) -> Vec<Named> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.zeros_like())).collect()
}

#[test]
fn round_trip_keeps_names_shapes_types_and_bits() {
    let (_folder, path) = file(&model());
    let target = zeros_like(&model());
    load_into(&path, &target).unwrap();
    assert_eq!(target, model());
    assert_eq!(read(&path).unwrap(), model());
    let header = read_header(&path).unwrap();
    assert_eq!(header.tensors["a.weight"], ("F32".to_owned(), vec![2, 3]));
    assert_eq!(header.metadata["format"], "pt");
}

#[test]
fn memory_layout_does_not_show_in_the_file() {
    let x = Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([2, 3]);
    let transposed = x.transpose(0, 1).contiguous().transpose(0, 1);
    assert_eq!(serialize(&named(&[("x", x)])).unwrap(), serialize(&named(&[("x", transposed)])).unwrap());
}

#[test]
fn every_mismatch_is_named_and_nothing_is_copied() {
    let (_folder, path) = file(&model());
    let target = named(&[
        // [2, 3] into [3, 2]; tch's own loader would broadcast [2] into [4, 2].
        ("a.weight", Tensor::zeros([3, 2], (Kind::Float, tch::Device::Cpu))),
        ("b.bias", Tensor::zeros([2], (Kind::Double, tch::Device::Cpu))),
        ("c", Tensor::zeros([1], (Kind::Float, tch::Device::Cpu))),
        ("step", Tensor::zeros([1], (Kind::Int64, tch::Device::Cpu))),
    ]);
    let Err(TensorIoError::Mismatch { mismatches, .. }) = load_into(&path, &target) else {
        panic!("accepted")
    };
    assert_eq!(
        mismatches,
        [
            Mismatch::Shape { name: "a.weight".into(), expected: vec![3, 2], found: vec![2, 3] },
            Mismatch::Dtype { name: "b.bias".into(), expected: "Double".into(), found: "Float".into() },
            Mismatch::Missing { name: "c".into() },
        ]
    );
    assert_eq!(i64::try_from(&target[3].1).unwrap(), 0, "a tensor that fits was copied all the same");

    let Err(TensorIoError::Mismatch { mismatches, .. }) = load_into(&path, &model()[..2]) else { panic!() };
    assert_eq!(mismatches, [Mismatch::Unexpected { name: "step".into() }]);
}

#[test]
fn a_missing_file_and_a_pickle_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.bin");
    assert!(matches!(read(&path), Err(TensorIoError::Read(_))));
    fs::write(&path, b"\x80\x02}q\x00.").unwrap();
    assert!(matches!(read(&path), Err(TensorIoError::Read(_))));
}

#[test]
fn every_truncation_is_refused() {
    let (_folder, path) = file(&model());
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(read(&path), Err(TensorIoError::Read(_))), "{length} bytes were accepted");
    }
}

proptest! {
    /// A changed byte may change a number or a name, but never makes the reader panic.
    #[test]
    fn any_changed_byte_is_survived(position in 0_usize..400, value: u8) {
        let (_folder, path) = file(&model());
        let mut bytes = fs::read(&path).unwrap();
        let position = position % bytes.len();
        bytes[position] = value;
        fs::write(&path, &bytes).unwrap();
        let _ = load_into(&path, &zeros_like(&model()));
    }
}
