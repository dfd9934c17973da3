//! The shipped classifier: its claimed accuracy, and that its features react to image quality.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod corruptions;

use std::path::Path;

use corruptions::{SERIES, distance, halves, moments};
use dataset::{Dataset, OpenOptions, Source};
use features::{Extractor, sha256};
use ndarray::Axis;
use tch::Device;

const FILE: &[u8] = include_bytes!("../assets/fashion.safetensors");

/// Its metadata has the accuracy on 10,000 test images; 2,000 of them are embedded, with a standard error of 0.6 %.
const MARGIN: f64 = 0.015;

fn accuracy_claimed() -> f64 {
    let header = tensor_file::parse(Path::new("fashion"), FILE).unwrap();
    header.metadata["accuracy"].parse().unwrap()
}

#[test]
fn the_file_is_the_one_that_the_page_describes() {
    let page = include_str!("../../../docs/features.md");
    let network = Extractor::fashion(Device::Cpu).unwrap();
    assert!(FILE.len() < 1_000_000, "{}", FILE.len());
    assert_eq!(network.sha256(), sha256(FILE));
    assert!(
        page.contains(network.sha256()),
        "docs/features.md names another SHA-256 than {}",
        network.sha256()
    );
    let claimed = format!("{:.2} %", accuracy_claimed() * 100.0);
    assert!(page.contains(&claimed), "docs/features.md does not say {claimed}");
    assert!(accuracy_claimed() >= 0.92);
    assert_eq!((network.name(), network.width()), ("fashion features", 128));
    assert_eq!(network.resize_rule(), "none (28x28)");
}

#[test]
fn it_has_the_accuracy_that_it_claims() {
    // A second thread does not pay off for images this small.
    tch::set_num_threads(1);
    let source = Source::detect("fashion-mnist:test").unwrap();
    let set = Dataset::open(&source, &OpenOptions::default()).unwrap();
    let (first, second) = halves().unwrap();
    let images = ndarray::concatenate(Axis(0), &[first.view(), second.view()]).unwrap();
    let answers = Extractor::fashion(Device::Cpu).unwrap().extract(images.view()).unwrap().answers.unwrap();
    assert_eq!(answers.dim(), (2000, 10));
    let mut right = 0;
    for (index, row) in answers.outer_iter().enumerate() {
        assert!((row.sum() - 1.0).abs() < 1e-5 && row.iter().all(|p| (0.0..=1.0).contains(p)));
        let label = set.label(index).unwrap() as usize;
        right += usize::from(row.iter().all(|&p| p <= row[label]));
    }
    let accuracy = right as f64 / 2000.0;
    assert!((accuracy - accuracy_claimed()).abs() < MARGIN, "{accuracy}, claimed {}", accuracy_claimed());
}

/// From one strength to the next the distance grows at least by half, and even the weakest is clearly detected.
#[test]
fn distances_grow_as_images_get_worse() {
    tch::set_num_threads(1);
    let network = Extractor::fashion(Device::Cpu).unwrap();
    let (here, there) = halves().unwrap();
    let reference = moments(&network, here.view()).unwrap();
    let clean = distance(&network, &reference, there.view()).unwrap();
    for (what, series) in SERIES {
        let mut before = clean;
        for corruption in series {
            let far = distance(&network, &reference, corruption.of(there.view()).view()).unwrap();
            assert!(far > 1.2 * before, "{what}: {far} at {}, {before} before", corruption.strength());
            before = far;
        }
    }
}
