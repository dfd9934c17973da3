//! The features of an image do not depend on the images in its batch, to the bit. The number of threads belongs to the
//! process, so this test has its own process.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::path::Path;

use dataset::Dataset;
use features::{About, ClassifierTraining, Extractor, Selection, TrainOptions};
use ndarray::{Array4, Axis};
use random::{Purpose, Stream};
use tch::Device;

fn noise(count: usize, (height, width, channels): (usize, usize, usize)) -> Array4<u8> {
    let mut stream = Stream::new(4, Purpose::Figure, 0, 0);
    Array4::from_shape_fn((count, height, width, channels), |_| stream.next_u32() as u8)
}

/// A network with freshly drawn weights.
fn untrained(shape: (usize, usize, usize), folder: &Path) -> Extractor {
    let set = Dataset::from_array(noise(4, shape), Some(vec![0, 1, 2, 1])).unwrap();
    let options = TrainOptions { epochs: 1, seed: 0, flip: false };
    let training = ClassifierTraining::new(Selection::all(&set), options, Device::Cpu).unwrap();
    let about = About {
        name: "no".to_owned(),
        trained_on: "nothing".to_owned(),
        images: 0,
        held_out: "nothing".to_owned(),
        accuracy: 0.0,
    };
    let path = folder.join(format!("{shape:?}.safetensors"));
    std::fs::write(&path, training.finish().unwrap().file(&about).unwrap()).unwrap();
    Extractor::open(&path, Device::Cpu).unwrap()
}

#[test]
fn an_image_is_the_same_bits_in_any_batch() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = [(28, 28, 1), (16, 16, 3), (33, 20, 3), (64, 64, 3)];
    for (network, shape) in shapes.map(|shape| (untrained(shape, folder.path()), shape)) {
        let images = noise(70, shape);
        for threads in [1, 3] {
            tch::set_num_threads(threads);
            let all = network.extract(images.view()).unwrap();
            let answers = all.answers.unwrap();
            assert!(all.features.iter().all(|x| x.is_finite()) && all.features.iter().any(|&x| x > 0.0));
            // A single image, the first and last of a part, across its end, and in the remainder.
            for (first, count) in [(0, 1), (63, 1), (69, 1), (0, 64), (5, 65), (60, 10)] {
                let part =
                    network.extract(images.slice_axis(Axis(0), (first..first + count).into())).unwrap();
                let rows = (first..first + count).into();
                assert_eq!(
                    part.features,
                    all.features.slice_axis(Axis(0), rows),
                    "{shape:?}, {first}, {count}, {threads}"
                );
                assert_eq!(
                    part.answers.unwrap(),
                    answers.slice_axis(Axis(0), rows),
                    "{shape:?}, {first}, {count}, {threads}"
                );
            }
        }
    }
}

#[test]
fn no_images_give_no_rows() {
    let network = Extractor::fashion(Device::Cpu).unwrap();
    let none = network.extract(noise(0, (28, 28, 1)).view()).unwrap();
    assert_eq!((none.features.dim(), none.answers.unwrap().dim()), ((0, 128), (0, 10)));
}
