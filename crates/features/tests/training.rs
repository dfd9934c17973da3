//! Training on images that are easy to classify, and the resulting file.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use dataset::Dataset;
use features::{
    About, ClassifierTraining, Extractor, FeaturesError, Selection, TrainOptions, TrainedClassifier, sha256,
};
use ndarray::Array4;
use random::{Purpose, Stream};
use tch::Device;

/// Stripes in one direction or the other, with noise.
fn stripes(count: usize) -> Dataset {
    let mut stream = Stream::new(2, Purpose::Figure, 0, 0);
    let images = Array4::from_shape_fn((count, 16, 18, 3), |(i, y, x, _)| {
        let along = if i % 2 == 0 { y } else { x };
        (along / 2 % 2 * 120 + stream.below(100) as usize) as u8
    });
    Dataset::from_array(images, Some((0..count as u32).map(|i| i % 2).collect())).unwrap()
}

fn trained(set: &Dataset, seed: u64, epochs: usize) -> TrainedClassifier {
    // A second thread does not pay off for images this small.
    tch::set_num_threads(1);
    let options = TrainOptions { epochs, seed, flip: true };
    let mut training = ClassifierTraining::new(Selection::all(set), options, Device::Cpu).unwrap();
    while training.steps_done() < training.steps() {
        assert!(training.step().unwrap().is_finite());
    }
    training.finish().unwrap()
}

fn about() -> About {
    About {
        name: "stripes".to_owned(),
        trained_on: "stripes".to_owned(),
        images: 96,
        held_out: "others".to_owned(),
        accuracy: 1.0,
    }
}

#[test]
fn it_learns_and_its_file_is_a_network_with_its_features() {
    let (set, other) = (stripes(96), stripes(150));
    let net = trained(&set, 0, 20);
    let accuracy = net.accuracy(&Selection::all(&other)).unwrap();
    assert!(accuracy > 0.95, "{accuracy}");

    let file = net.file(&about()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stripes.safetensors");
    std::fs::write(&path, &file).unwrap();
    let network = Extractor::open(&path, Device::Cpu).unwrap();
    assert_eq!(network.distance_title(), "FD (stripes features)");
    assert_eq!(network.sha256(), sha256(&file));
    assert_eq!(network.resize_rule(), "none (18x16)");
    let indices: Vec<usize> = (0..other.len()).collect();
    let images = Selection::all(&other).images(&indices).unwrap();
    let answers = network.extract(images.view()).unwrap().answers.unwrap();
    let right = indices.iter().filter(|&&i| answers[[i, i % 2]] > 0.5).count();
    assert_eq!(right as f64 / 150.0, accuracy);

    network.check(16, 18, 3).unwrap();
    for (h, w, c) in [(18, 16, 3), (16, 18, 1), (28, 28, 1)] {
        let error = network.check(h, w, c).unwrap_err();
        assert!(matches!(error, FeaturesError::Images { .. }));
        let text = error.to_string();
        assert!(
            text.starts_with("stripes features need images of 18x16x3")
                && text.ends_with(&format!("found {w}x{h}x{c}")),
            "{text}"
        );
    }
    assert!(network.extract(Array4::zeros((1, 18, 16, 3)).view()).is_err());
}

#[test]
fn the_seed_decides() {
    let set = stripes(40);
    let file = |seed| trained(&set, seed, 3).file(&about()).unwrap();
    assert_eq!(file(1), file(1));
    assert_ne!(file(1), file(2));
}

#[test]
fn epochs_are_counted_in_images() {
    let set = stripes(130);
    let training = |epochs| {
        let options = TrainOptions { epochs, seed: 0, flip: false };
        ClassifierTraining::new(Selection::all(&set), options, Device::Cpu)
    };
    // Batches of 128.
    assert_eq!([1, 2, 64].map(|epochs| training(epochs).unwrap().steps()), [2, 3, 65]);
    for epochs in [0, 1001] {
        assert!(matches!(training(epochs), Err(FeaturesError::Training { .. })));
    }
}
