//! Invalid files are refused, each with its reason.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::collections::BTreeMap;
use std::path::Path;

use features::{Extractor, FeaturesError};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;

const FILE: &[u8] = include_bytes!("../assets/fashion.safetensors");

/// The error of opening a file with these bytes.
fn refusal(bytes: &[u8]) -> FeaturesError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let error = Extractor::open(&path, Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("x.safetensors"), "{error}");
    error
}

/// The shipped tensors and metadata, changed.
fn changed(change: impl FnOnce(&mut BTreeMap<String, Tensor>, &mut BTreeMap<String, String>)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, FILE).unwrap();
    let mut tensors: BTreeMap<_, _> = tensor_io::read(&path).unwrap().into_iter().collect();
    let mut metadata = tensor_io::read_header(&path).unwrap().metadata;
    change(&mut tensors, &mut metadata);
    let tensors: Vec<Named> = tensors.into_iter().collect();
    tensor_io::serialize_with(&tensors, &metadata).unwrap()
}

#[test]
fn without_changes_it_is_the_shipped_file() {
    assert!(changed(|_, _| {}) == FILE);
}

#[test]
fn other_strings_are_refused() {
    let with = |key: &str, value: &str| {
        let error = refusal(&changed(|_, metadata| {
            metadata.insert(key.to_owned(), value.to_owned());
        }));
        assert!(matches!(error, FeaturesError::Metadata { .. }), "{error}");
        error.to_string()
    };
    for (key, value) in [
        ("kind", "vgg"),
        ("height", "15"),
        ("height", "-28"),
        ("width", "28.0"),
        ("width", "1000000"),
        ("channels", "0"),
        ("channels", "99999999999999999999999"),
        ("classes", "1"),
        ("classes", ""),
        ("name", ""),
        ("name", " x"),
        ("name", "a\nb"),
        ("name", "\u{1b}[2J"),
    ] {
        let text = with(key, value);
        assert!(text.contains(&format!("metadata {key:?}")), "{text}");
        assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
    }
    assert!(with("name", &"long".repeat(1000)).len() < 300);
    for key in ["kind", "name", "height", "classes"] {
        let error = refusal(&changed(|_, metadata| {
            metadata.remove(key);
        }));
        assert!(error.to_string().contains("found no such key"), "{error}");
    }
}

#[test]
fn other_tensors_are_refused() {
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    let with = |name: &str, tensor: Tensor| {
        refusal(&changed(|tensors, _| {
            tensors.insert(name.to_owned(), tensor);
        }))
        .to_string()
    };
    assert!(with("conv1.weight", zeros(&[1, 1, 3, 3], Kind::Half)).contains("has shape"));
    assert!(with("classes.bias", zeros(&[10], Kind::Double)).contains("is Double, expected Float"));
    assert!(with("more", zeros(&[1], Kind::Half)).contains("more is not expected"));
    assert!(with("classes.bias", zeros(&[10], Kind::Half) + f64::NAN).contains("classes.bias is not finite"));
    let missing = refusal(&changed(|tensors, _| {
        tensors.remove("conv0.bias");
    }));
    assert!(missing.to_string().contains("conv0.bias is missing"), "{missing}");
    // Another image size needs another number of layers.
    let other = refusal(&changed(|_, metadata| {
        metadata.insert("height".to_owned(), "64".to_owned());
    }));
    assert!(matches!(other, FeaturesError::Tensors(_)), "{other}");
}

#[test]
fn damaged_files_are_refused() {
    for length in [0, 7, 100, FILE.len() - 1] {
        assert!(matches!(refusal(&FILE[..length]), FeaturesError::Tensors(_)));
    }
    assert!(matches!(refusal(&[FILE, &[0]].concat()), FeaturesError::Tensors(_)));
    assert!(matches!(refusal(b"PK\x03\x04 something else"), FeaturesError::Tensors(_)));
    let absent = Extractor::open(Path::new("absent.safetensors"), Device::Cpu).err().unwrap();
    assert!(matches!(absent, FeaturesError::File { .. }), "{absent}");
}
