//! What is drawn from a mixture: moments in closed form, and what a draw depends on.
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::collections::BTreeMap;

use mixture::schedule::Level;
use mixture::tch::{Device, Kind, Tensor};
use mixture::{Fit, Mixture, MixtureError};
use random::{Purpose, Stream};

const SHAPE: [i64; 3] = [1, 3, 4];
const NUMBERS: usize = 12;

fn normals(seed: u64, images: usize) -> Tensor {
    let values = Stream::new(seed, Purpose::Figure, 0, 0).normals(images * NUMBERS);
    tensor_io::from_slice(&values, &[images as i64, 1, 3, 4]).unwrap()
}

/// Images of three classes: their own mean, and a deviation that differs from pixel to pixel.
fn images(count: usize) -> (Tensor, Vec<i64>) {
    let labels: Vec<i64> = (0..count as i64).map(|i| i % 3).collect();
    let means = Tensor::from_slice(&labels).to_kind(Kind::Float).view([-1, 1, 1, 1]) * 0.5 - 0.5;
    let deviations =
        Tensor::linspace(0.4, 0.02, NUMBERS as i64, (Kind::Float, Device::Cpu)).view([1, 1, 3, 4]);
    (normals(1, count) * deviations + means, labels)
}

fn fitted(labelled: bool) -> Mixture {
    let (images, labels) = images(3000);
    let fit = Fit { components: 6, directions: 5, rounds: 5, seed: 3 };
    fit.of(&images, labelled.then_some(&labels)).unwrap()
}

fn level() -> Level {
    Level { t: 500.0, alpha: 0.7, sigma: 0.6 }
}

/// Mean and covariance of images as f64.
fn moments(images: &Tensor) -> (Tensor, Tensor) {
    let flat = images.view([-1, NUMBERS as i64]).to_kind(Kind::Double);
    let centred = &flat - flat.mean_dim(0_i64, true, Kind::Double);
    (flat.mean_dim(0_i64, false, Kind::Double), centred.tr().matmul(&centred) / flat.size()[0])
}

/// The moments of `x_t`: those of the images times alpha, and the noise; what lies outside the span counts too.
#[test]
fn samples_have_the_moments_of_noised_images() {
    let (real, _) = images(3000);
    let (mean, covariance) = moments(&real);
    let mixture = fitted(false);
    for level in [level(), Level { t: 0.0, alpha: 1.0, sigma: 2.0 }, Level { t: 0.0, alpha: 1.0, sigma: 0.0 }]
    {
        let drawn = mixture.start(&level, &[], (5, 0), &normals(2, 40_000)).unwrap();
        let (got_mean, got) = moments(&drawn);
        let off = (got_mean - &mean * level.alpha).abs().max().double_value(&[]);
        assert!(off < 0.03, "{level:?}: the mean is off by {off}");
        let noise = Tensor::eye(NUMBERS as i64, (Kind::Double, Device::Cpu)) * level.sigma.powi(2);
        let wanted = &covariance * level.alpha.powi(2) + noise;
        let off = (got - wanted).abs().max().double_value(&[]);
        assert!(off < 0.03 * (1.0 + level.sigma.powi(2)), "{level:?}: the covariance is off by {off}");
    }
}

#[test]
fn an_image_is_the_same_in_every_batch() {
    let (mixture, eps, labels) = (fitted(true), normals(4, 7), [0, 1, 2, -1, 0, 1, 2]);
    let all = mixture.start(&level(), &labels, (9, 100), &eps).unwrap();
    for image in 0..7 {
        let noise = eps.narrow(0, image, 1);
        let alone = mixture.start(&level(), &labels[image as usize..][..1], (9, 100 + image as u64), &noise);
        let off = (alone.unwrap() - all.narrow(0, image, 1)).abs().max().double_value(&[]);
        assert!(off < 1e-6, "image {image} is off by {off}");
    }
    // Whatever the layout in memory.
    let strided = eps.transpose(2, 3).contiguous().transpose(2, 3);
    assert!(!strided.is_contiguous());
    let same = mixture.start(&level(), &labels, (9, 100), &strided).unwrap();
    assert!((same - &all).abs().max().double_value(&[]) < 1e-6);
    let other = mixture.start(&level(), &labels, (10, 100), &eps).unwrap();
    assert!((other - all).abs().max().double_value(&[]) > 0.1, "the seed changes nothing");
}

/// Each class of the images has a mean of its own.
#[test]
fn a_label_draws_from_its_class() {
    let mixture = fitted(true);
    assert_eq!(mixture.classes(), [0, 1, 2]);
    assert_eq!(mixture.components(), 6);
    for class in 0..3_i64 {
        let drawn = mixture.start(&level(), &[class; 4000], (1, 0), &normals(6, 4000)).unwrap();
        let mean = drawn.mean(Kind::Double).double_value(&[]);
        let wanted = 0.7 * (class as f64 * 0.5 - 0.5);
        assert!((mean - wanted).abs() < 0.02, "class {class}: {mean} is not {wanted}");
    }
    let error = mixture.start(&level(), &[3], (1, 0), &normals(6, 1)).unwrap_err();
    assert_eq!(error.to_string(), "class 3: the mixture has no component of this class; it knows 0, 1, 2");
    // Without labels the classes are not told apart, and any label will do.
    let unlabelled = fitted(false);
    assert!(unlabelled.classes().is_empty());
    assert!(unlabelled.start(&level(), &[3], (1, 0), &normals(6, 1)).is_ok());
}

/// No image can be read from the file: each Gaussian describes at least 8 images, those of a rare class all of them.
#[test]
fn few_images_have_fewer_gaussians() {
    let (images, mut labels) = images(40);
    let all = Fit::default().of(&images, None).unwrap().components();
    assert!((1..=5).contains(&all), "{all} Gaussians of 40 images");
    assert_eq!(Fit::default().of(&images.narrow(0, 0, 5), None).unwrap().components(), 1);
    // Class 7 has a single image.
    labels.fill(1);
    labels[3] = 7;
    let mixture = Fit::default().of(&images, Some(&labels)).unwrap();
    assert_eq!(mixture.classes(), [1, 7]);
    let drawn =
        mixture.start(&Level { t: 0.0, alpha: 1.0, sigma: 0.0 }, &[7; 4000], (1, 0), &normals(2, 4000));
    let off = moments(&drawn.unwrap()).0 - moments(&images).0;
    assert!(off.abs().max().double_value(&[]) < 0.03, "the rare class is drawn from its image");
}

/// A mixture of equal images is that image, and few images limit the span.
#[test]
fn images_may_be_equal_or_few() {
    let grey = Tensor::full([5, 1, 3, 4], 0.25, (Kind::Float, Device::Cpu));
    let mixture = Fit::default().of(&grey, None).unwrap();
    let drawn =
        mixture.start(&Level { sigma: 0.0, alpha: 1.0, t: 0.0 }, &[], (1, 0), &normals(1, 3)).unwrap();
    assert!((drawn - 0.25).abs().max().double_value(&[]) < 1e-3);
    let two = Fit::default().of(&normals(1, 2), None).unwrap();
    assert_eq!((two.directions(), two.shape()), (1, SHAPE));
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let text = |result: Result<Mixture, MixtureError>| result.unwrap_err().to_string();
    let fit = Fit::default();
    assert_eq!(text(fit.of(&normals(1, 1), None)), "1 images: a mixture needs at least 2");
    assert_eq!(text(fit.of(&normals(1, 3), Some(&[0]))), "1 labels for 3 images: expected one per image");
    let wrong = normals(1, 3).to_kind(Kind::Double);
    assert!(text(fit.of(&wrong, None)).contains("got Double of shape [3, 1, 3, 4]"));
    assert!(text(fit.of(&(normals(1, 3) / 0.0), None)).contains("NaN or infinite"));
    for (fit, what) in [
        (Fit { components: 0, ..Fit::default() }, "components = 0: expected 1 to 1024"),
        (Fit { directions: 5000, ..Fit::default() }, "directions = 5000: expected 1 to 1024"),
        (Fit { rounds: 1001, ..Fit::default() }, "rounds = 1001: expected 0 to 1000"),
    ] {
        assert_eq!(text(fit.of(&normals(1, 3), None)), what);
    }
    let mixture = fitted(false);
    assert!(mixture.start(&level(), &[], (1, 0), &normals(1, 2).view([2, 1, 4, 3])).is_err());
    assert!(mixture.start(&level(), &[1], (1, 0), &normals(1, 2)).is_err());
}

#[test]
fn a_file_gives_the_mixture_back_and_a_damaged_one_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixture.safetensors");
    let mixture = fitted(true);
    let strings = BTreeMap::from([("of".to_owned(), "garments".to_owned())]);
    let bytes = mixture.to_bytes(&strings).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let (read, found) = Mixture::read(&path).unwrap();
    assert_eq!(found["of"], "garments");
    let draw = |mixture: &Mixture| mixture.start(&level(), &[1, 2], (1, 0), &normals(1, 2)).unwrap();
    assert!((draw(&read) - draw(&mixture)).abs().max().double_value(&[]) < 1e-6);

    for cut in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Mixture::read(&path).is_err(), "{cut} bytes");
    }
    // What a file may hold, but no mixture: one tensor of a sound file replaced.
    std::fs::write(&path, &bytes).unwrap();
    let (sound, header) = (tensor_io::read(&path).unwrap(), tensor_io::read_header(&path).unwrap());
    for (name, change, found) in [
        ("means", (|x| x * 1e30) as fn(&Tensor) -> Tensor, "numbers beyond 1e6 in means"),
        ("rest", |x| x * 0.0 + 3e38, "numbers beyond 1e6 in rest"),
        ("rest", |x| x * 0.0 - 1.0, "a negative variance"),
        ("mean", |x| x / 0.0, "NaN or infinite numbers in mean"),
        ("directions", |x| x * 2.0, "directions that are not orthonormal"),
        ("factors", |x| x + 1.0, "factors that are not lower triangular"),
        ("weights", |x| x * 0.5, "weights whose sum is not 1"),
        ("classes", |x| x + 0.5, "classes that are not whole numbers"),
        ("classes", |x| x.narrow(0, 0, 1), "classes of shape [1]"),
    ] {
        let changed: Vec<(String, Tensor)> = (sound.iter())
            .map(|(own, x)| {
                (own.clone(), if own == name { change(x).contiguous() } else { x.shallow_clone() })
            })
            .collect();
        std::fs::write(&path, tensor_io::serialize_with(&changed, &header.metadata).unwrap()).unwrap();
        let error = Mixture::read(&path).unwrap_err().to_string();
        assert!(error.contains(found), "{name}: {error}");
    }
    let one = |name: &str, tensor: Tensor| vec![(name.to_owned(), tensor)];
    let key = BTreeMap::from([("ddpm.mixture".to_owned(), "1".to_owned())]);
    let newer = BTreeMap::from([("ddpm.mixture".to_owned(), "2\u{1b}[2J".to_owned())]);
    for (tensors, strings, found) in [
        (one("mean", normals(1, 1)), BTreeMap::new(), "none (no string ddpm.mixture in its header)"),
        (one("mean", normals(1, 1)), newer, "layout 2\\u{1b}[2J, which is newer"),
        (one("mean", normals(1, 1)), key.clone(), "mean of shape [1, 1, 3, 4]"),
        (one("other", normals(1, 1)), key, "no tensor mean"),
    ] {
        std::fs::write(&path, tensor_io::serialize_with(&tensors, &strings).unwrap()).unwrap();
        let error = Mixture::read(&path).unwrap_err().to_string();
        assert!(error.contains(found), "{error}");
    }
}
