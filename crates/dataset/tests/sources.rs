//! Opens datasets by specification, from every kind of source except folders.

// Clippy does not recognise helpers as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;

use dataset::{Dataset, DatasetError, OpenOptions, Source, Split, write_npy, write_npz};
use ndarray::{Array, Array3, Array4, array};

fn open(spec: &str, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    Dataset::open(&Source::detect(spec)?, options)
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(data);
    bytes
}

#[test]
fn the_embedded_set_is_padded_and_unpadded() {
    let plain = open("fashion-mnist:test", &OpenOptions::default()).unwrap();
    assert_eq!((plain.len(), plain.shape(), plain.classes()), (2000, (28, 28, 1), 10));
    assert_eq!(plain.class_names()[9], "Ankle boot");
    let options = OpenOptions { pad_to_multiple: Some(16), ..OpenOptions::default() };
    let padded = open("fashion-mnist:test", &options).unwrap();
    assert_eq!(padded.shape(), (32, 32, 1));
    for i in [0, 999, 1999] {
        let image = padded.image(i).unwrap();
        assert_eq!(padded.padding().crop(image.view(), 0).unwrap(), plain.image(i).unwrap());
        assert!(image.index_axis(ndarray::Axis(0), 1).iter().all(|&v| v == 0));
    }
}

#[test]
fn any_source_is_resized_and_converted_to_colour() {
    let options =
        OpenOptions { size: Some(16.into()), channels: Some(3), limit: Some(20), ..OpenOptions::default() };
    let set = open("fashion-mnist", &options).unwrap();
    assert_eq!((set.len(), set.shape()), (20, (16, 16, 3)));
    let image = set.image(0).unwrap();
    assert!(image.rows().into_iter().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    // Shrinking keeps the mean, up to rounding and edge effects of the filter.
    let whole = open("fashion-mnist", &OpenOptions::default()).unwrap().image(0).unwrap();
    let mean = |a: &Array3<u8>| a.iter().map(|&v| f64::from(v)).sum::<f64>() / a.len() as f64;
    assert!((mean(&image) - mean(&whole)).abs() < 2.0);
}

#[test]
fn mnist_folder_with_gzipped_files() {
    let folder = tempfile::tempdir().unwrap();
    let gz = |name: &str, data: &[u8]| {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap();
    };
    gz("train-images-idx3-ubyte.gz", &idx(&[3, 2, 2], &(0..12).collect::<Vec<u8>>()));
    gz("train-labels-idx1-ubyte.gz", &idx(&[3], &[4, 0, 2]));
    let set = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!((set.len(), set.shape(), set.classes()), (3, (2, 2, 1), 5));
    assert_eq!(set.image(1).unwrap(), array![[[4], [5]], [[6], [7]]]);
    assert_eq!((0..4).map(|i| set.label(i)).collect::<Vec<_>>(), [Some(4), Some(0), Some(2), None]);

    gz("train-labels-idx1-ubyte.gz", &idx(&[2], &[4, 0]));
    let required = OpenOptions { labels_required: true, ..OpenOptions::default() };
    let error = open(folder.path().to_str().unwrap(), &required).unwrap_err();
    assert!(matches!(error, DatasetError::LabelCount { expected: 3, got: 2, .. }), "{error}");
    let without = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!((without.len(), without.classes(), without.label(0)), (3, 0, None));
    let told = without.notes().iter().any(|note| note.contains("labels are not used"));
    assert!(told, "{:?}", without.notes());
}

#[test]
fn cifar_batches_are_joined_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"].iter().enumerate() {
        let mut record = vec![i as u8 + 3];
        record.resize(3073, i as u8 * 10);
        fs::write(folder.path().join(name), record).unwrap();
    }
    let spec = folder.path().to_str().unwrap();
    let train = open(spec, &OpenOptions::default()).unwrap();
    assert_eq!((train.len(), train.shape(), train.classes()), (2, (32, 32, 3), 10));
    assert_eq!((train.label(0), train.label(1)), (Some(3), Some(4)));
    assert_eq!(train.image(1).unwrap(), Array3::from_elem((32, 32, 3), 10));
    let test = open(&format!("{spec}:test"), &OpenOptions::default()).unwrap();
    assert_eq!((test.len(), test.label(0)), (1, Some(5)));
}

#[test]
fn numpy_files_with_and_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let images = Array4::from_shape_fn((4, 3, 5, 6), |(n, c, y, x)| (n * 60 + c * 30 + y * 5 + x) as u8);
    write_npz(&path, &[("x", images.clone().into()), ("y", array![1_i64, 0, 1, 2].into())]).unwrap();
    let set = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!((set.len(), set.shape(), set.classes()), (4, (5, 6, 3), 3));
    for (n, image) in images.outer_iter().enumerate() {
        assert_eq!(set.image(n).unwrap(), image.permuted_axes([1, 2, 0]));
    }
    let path = folder.path().join("a.npy");
    write_npy(&path, &Array::from_elem((2, 4, 4), 0.5_f32)).unwrap();
    let set = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!((set.shape(), set.classes(), set.label(0)), ((4, 4, 1), 0, None));
    assert!(set.image(1).unwrap().iter().all(|&v| v == 128));
}

#[test]
fn ones_and_zeros_are_white_and_black_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask-idx3-ubyte");
    fs::write(&path, idx(&[2, 2, 2], &[0, 1, 1, 0, 1, 1, 0, 0])).unwrap();
    let set = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!(set.image(0).unwrap(), array![[[0_u8], [255]], [[255], [0]]]);
    assert!(set.notes()[0].contains("1 as white"), "{:?}", set.notes());
    // Pixels that the caller supplies are used unchanged.
    let set = Dataset::from_array(Array4::from_elem((1, 1, 2, 1), 1), None).unwrap();
    assert_eq!(set.image(0).unwrap(), array![[[1_u8], [1]]]);
}

#[test]
fn a_trusted_file_may_unpack_to_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat-idx3-ubyte.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    encoder.write_all(&idx(&[320, 256, 256], &vec![7; 320 << 16])).unwrap();
    encoder.finish().unwrap();
    let error = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, DatasetError::Inflates { needed: 20_971_520, .. }), "{error}");
    let options = OpenOptions { unpacked_limit: Some(20 << 20), limit: Some(1), ..OpenOptions::default() };
    assert_eq!(open(path.to_str().unwrap(), &options).unwrap().shape(), (256, 256, 1));
}

#[test]
fn the_fingerprint_depends_on_the_content() {
    let images = Array4::from_shape_fn((6, 2, 2, 1), |(n, y, x, _)| (n * 4 + y * 2 + x) as u8);
    let fingerprint = |images: &Array4<u8>, labels: Option<Vec<u32>>| {
        Dataset::from_array(images.clone(), labels).unwrap().fingerprint().unwrap()
    };
    let base = fingerprint(&images, None);
    assert_eq!(base.len(), 64);
    assert_eq!(base, fingerprint(&images, None));
    let mut changed = images.clone();
    changed[[5, 1, 1, 0]] += 1;
    assert_ne!(base, fingerprint(&changed, None));
    assert_ne!(base, fingerprint(&images, Some(vec![0; 6])));
    assert_ne!(base, fingerprint(&images.clone().into_shape_with_order((3, 4, 2, 1)).unwrap(), None));

    // A subset has the fingerprint of a dataset of the same images.
    let set = Dataset::from_array(images.clone(), None).unwrap();
    let mut part = images;
    part.slice_axis_inplace(ndarray::Axis(0), ndarray::Slice::from(2..5));
    assert_eq!(set.subset(2..5).unwrap().fingerprint().unwrap(), fingerprint(&part, None));
}

#[test]
fn subsets_nest_and_are_checked() {
    let images = Array4::from_shape_fn((9, 1, 1, 1), |(n, ..)| n as u8);
    let set = Dataset::from_array(images, Some((0..9).collect())).unwrap();
    let inner = set.subset(2..8).unwrap().subset(1..4).unwrap();
    assert_eq!((inner.len(), inner.label(0), inner.label(3)), (3, Some(3), None));
    assert_eq!(inner.image(2).unwrap()[[0, 0, 0]], 5);
    assert!(matches!(inner.image(3), Err(DatasetError::OutOfRange { len: 3, got: 3, .. })));
    assert!(set.subset(5..10).is_err());
    let reversed = std::ops::Range { start: 5, end: 4 };
    assert!(set.subset(reversed).is_err());
    assert!(set.subset(9..9).unwrap().is_empty());
    assert!(matches!(set.read_into(0, &mut [0; 2]), Err(DatasetError::Shape { .. })));
}

#[test]
fn invalid_options_are_refused() {
    let default = OpenOptions::default;
    for options in [
        OpenOptions { size: Some(0.into()), ..default() },
        OpenOptions { size: Some(5000.into()), ..default() },
        OpenOptions { channels: Some(2), ..default() },
        OpenOptions { limit: Some(0), ..default() },
        OpenOptions { pad_to_multiple: Some(0), ..default() },
        OpenOptions { pad_to_multiple: Some(usize::MAX), ..default() },
    ] {
        let error = open("fashion-mnist", &options).unwrap_err();
        assert!(matches!(error, DatasetError::BadOption { .. }), "{options:?}: {error}");
    }
}

#[test]
fn a_source_round_trips_through_its_specification() {
    let test = Source::Embedded { split: Split::Test };
    assert_eq!(test.to_string(), "fashion-mnist:test");
    assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
}

/// A build without the feature says how to get one with it.
#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_is_refused_in_one_line() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet/struct-snappy.parquet");
    let source = Source::detect(path.to_str().unwrap()).unwrap();
    let error = Dataset::open(&source, &OpenOptions::default()).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, DatasetError::NoParquet { .. }), "{told}");
    assert!(told.contains("--features parquet") && told.lines().count() == 1, "{told}");
}
