//! InceptionV3 gives the same features as pytorch-fid and torch-fidelity for the same weights and images.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod formula;

use std::collections::BTreeMap;

use features::{Extracted, Extractor, FeaturesError};
use ndarray::{Array4, Axis, Slice, concatenate};
use tch::Device;

/// Written by `scripts/make_inception_goldens.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    /// Only every `stride`th number is stored.
    stride: usize,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    shape: [usize; 3],
    resize: String,
    features: Vec<f64>,
    mean: f64,
    deviation: f64,
    probabilities: Vec<f64>,
}

/// Relative error; the peers' own f32 results differ from their f64 results by 2e-6.
const CLOSE: f64 = 1e-4;

fn assert_close(what: &str, got: impl Iterator<Item = f64>, want: &[f64], least: f64) {
    let got: Vec<f64> = got.collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (place, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= CLOSE * want.abs().max(least), "{what} {place}: {got} is not {want}");
    }
}

fn assert_case(case: &Case, stride: usize, got: &Extracted) {
    let what = format!("{:?} {}", case.shape, case.resize);
    let features: Vec<f64> = got.features.iter().map(|&x| f64::from(x)).collect();
    assert_eq!(features.len(), 2048);
    // For features near zero, compare with the size of the others.
    assert_close(&what, features.iter().step_by(stride).copied(), &case.features, case.mean);
    let mean = features.iter().sum::<f64>() / 2048.0;
    let variance = features.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2048.0;
    assert_close(&what, [mean, variance.sqrt()].into_iter(), &[case.mean, case.deviation], 0.0);
    let answers: Vec<f64> = got.answers.as_ref().unwrap().iter().map(|&p| f64::from(p)).collect();
    assert!((answers.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    assert_close(&what, answers.iter().step_by(stride).copied(), &case.probabilities, 0.0);
}

/// One test, since creating and reading the weights takes longer than the network.
#[test]
fn features_match_those_of_the_peers() {
    let Goldens { stride, cases } = serde_json::from_str(include_str!("goldens.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let weights = formula::weights();
    let mut seen = 0;
    for rule in ["tensorflow", "pytorch"] {
        let file = formula::file(&weights, folder.path(), rule);
        let network = Extractor::open(&file, Device::Cpu).unwrap();
        assert_eq!((network.name(), network.width()), ("InceptionV3 features", 2048));
        assert_eq!(network.distance_title(), "FID");
        assert!(network.resize_rule().contains(rule), "{}", network.resize_rule());
        for case in cases.iter().filter(|case| case.resize == rule) {
            let image = formula::image(case.shape);
            let got = network.extract(image.view()).unwrap();
            assert_case(case, stride, &got);
            if seen == 0 {
                assert_same_bits_after_another(&network, &image, &got);
            }
            seen += 1;
        }
        assert!(matches!(network.check(32, 32, 4), Err(FeaturesError::Images { .. })));
        assert!(network.check(0, 32, 3).is_err() && network.check(1, 1, 1).is_ok());
    }
    assert_eq!(seen, 5);
}

/// The features of an image do not depend on the others in its batch.
fn assert_same_bits_after_another(network: &Extractor, image: &Array4<u8>, alone: &Extracted) {
    let upside_down = image.slice_axis(Axis(1), Slice::new(0, None, -1));
    let batch = concatenate(Axis(0), &[upside_down, image.view()]).unwrap();
    let together = network.extract(batch.view()).unwrap();
    assert_eq!(together.features.row(1), alone.features.row(0));
    assert_eq!(together.answers.unwrap().row(1), alone.answers.as_ref().unwrap().row(0));
    assert_ne!(together.features.row(0), alone.features.row(0));
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let refusal = |strings: &[(&str, &str)], tensors: &[tensor_io::Named]| {
        let metadata: BTreeMap<_, _> =
            strings.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        std::fs::write(&path, tensor_io::serialize_with(tensors, &metadata).unwrap()).unwrap();
        Extractor::open(&path, Device::Cpu).err().unwrap()
    };
    let kind = ("kind", "inception-v3-fid");
    let error = refusal(&[kind], &[]).to_string();
    assert!(error.contains("metadata \"resize\"") && error.contains("no such key"), "{error}");
    let error = refusal(&[kind, ("resize", "bicubic")], &[]).to_string();
    assert!(error.contains("\"tensorflow\" or \"pytorch\", found bicubic"), "{error}");
    // The network for ImageNet's 1000 classes.
    let zeros = |shape: &[i64]| tch::Tensor::zeros(shape, (tch::Kind::Float, Device::Cpu));
    let error = refusal(&[kind, ("resize", "pytorch")], &[("fc.bias".to_owned(), zeros(&[1000]))]);
    assert!(matches!(error, FeaturesError::Tensors(_)), "{error}");
    let error = error.to_string();
    assert!(error.contains("Conv2d_1a_3x3.conv.weight is missing") && error.len() < 1000, "{error}");
}
