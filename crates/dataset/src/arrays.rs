//! Images that lie in arrays: IDX, CIFAR, npy and npz brought to one form, `[n, h, w, c]` of u8.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ndarray::{Array4, ArrayD, Axis, Ix4};

use crate::array::AnyArray;
use crate::cifar::{CIFAR10_CLASSES, CifarKind, parse_cifar};
use crate::embedded::Split;
use crate::error::DatasetError;
use crate::idx::parse_idx;
use crate::limits::{MAX_FILE, read_file};
use crate::npy::read_npy;
use crate::npz::Npz;

/// Labels above this are an error, not a class.
const MAX_CLASSES: u32 = 1 << 16;
/// Float images may exceed their range by rounding.
const FLOAT_SLACK: f64 = 1e-3;

/// Images `[n, h, w, c]`, labels when there are any, and class names when the format has them.
pub(crate) struct ArrayImages {
    pub(crate) images: Array4<u8>,
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Vec<String>,
}

/// IDX files of images and, when given, labels.
pub(crate) fn load_idx(images: &Path, labels: Option<&Path>) -> Result<ArrayImages, DatasetError> {
    let parse = |path: &Path| parse_idx(&path.display().to_string(), &read_file(path, MAX_FILE)?);
    let pixels = to_images(&images.display().to_string(), AnyArray::U8(parse(images)?))?;
    let labels = match labels {
        None => None,
        Some(path) => {
            Some(to_labels(&path.display().to_string(), AnyArray::U8(parse(path)?), pixels.dim().0)?)
        }
    };
    Ok(ArrayImages { images: pixels, class_names: numbered(labels.as_deref()), labels })
}

/// One CIFAR batch file, or the training batches of a folder in order.
pub(crate) fn load_cifar(path: &Path) -> Result<ArrayImages, DatasetError> {
    let files: Vec<PathBuf> = if path.is_dir() {
        let named = (1..=5).map(|i| path.join(format!("data_batch_{i}.bin")));
        named.chain([path.join("train.bin")]).filter(|file| file.is_file()).collect()
    } else {
        vec![path.to_owned()]
    };
    let (mut batches, mut labels, mut first) = (Vec::new(), Vec::new(), None);
    for file in &files {
        let name = file.display().to_string();
        let batch = parse_cifar(&name, &read_file(file, MAX_FILE)?)?;
        let kind = *first.get_or_insert(batch.kind);
        if batch.kind != kind {
            return Err(DatasetError::unsuitable(&name, format!("{kind:?}"), format!("{:?}", batch.kind)));
        }
        labels.extend(batch.labels);
        batches.push(batch.images);
    }
    let Some(kind) = first else {
        let expected = "data_batch_1.bin to data_batch_5.bin or train.bin";
        return Err(DatasetError::unsuitable(&path.display().to_string(), expected, "none of them"));
    };
    let views: Vec<_> = batches.iter().map(|b| b.view()).collect();
    let images = ndarray::concatenate(Axis(0), &views).map_err(|e| {
        DatasetError::unsuitable(&path.display().to_string(), "batches of one shape", e.to_string())
    })?;
    let class_names = match kind {
        CifarKind::Cifar10 => CIFAR10_CLASSES.map(str::to_owned).to_vec(),
        CifarKind::Cifar100 => (0..kind.classes()).map(|i| i.to_string()).collect(),
    };
    Ok(ArrayImages { images, labels: Some(labels), class_names })
}

/// A `.npy` file of images, or a `.npz` archive with images and perhaps labels under the usual names.
pub(crate) fn load_numpy(path: &Path, split: Split) -> Result<ArrayImages, DatasetError> {
    let name = path.display().to_string();
    let magic = read_start(path)?;
    if magic == *b"\x93NUM" {
        let images = to_images(&name, read_npy(path)?)?;
        return Ok(ArrayImages { images, labels: None, class_names: Vec::new() });
    }
    let mut npz = Npz::open(path)?;
    let (images, labels): (&[&str], &[&str]) = match split {
        Split::Train => (
            &["train_images", "x_train", "images", "x", "arr_0"],
            &["train_labels", "y_train", "labels", "y", "arr_1"],
        ),
        Split::Test => (&["test_images", "x_test"], &["test_labels", "y_test"]),
    };
    let Some(place) = images.iter().position(|array| npz.contains(array)) else {
        let found = format!("{:?}", npz.names().collect::<Vec<_>>());
        return Err(DatasetError::unsuitable(&name, format!("an array named one of {images:?}"), found));
    };
    let pixels = to_images(&format!("{name}[{}]", images[place]), npz.array(images[place])?)?;
    // The labels' name goes with the images' name.
    let labels = read_labels(&mut npz, &name, labels[place], pixels.dim().0)?;
    Ok(ArrayImages { images: pixels, class_names: numbered(labels.as_deref()), labels })
}

fn read_labels(
    npz: &mut Npz<BufReader<File>>,
    name: &str,
    array: &str,
    count: usize,
) -> Result<Option<Vec<u32>>, DatasetError> {
    // `labels` and `y` stand beside either name of the images.
    let names = match array {
        "labels" | "y" => ["labels", "y"],
        other => [other, other],
    };
    match names.into_iter().find(|array| npz.contains(array)) {
        None => Ok(None),
        Some(array) => Ok(Some(to_labels(&format!("{name}[{array}]"), npz.array(array)?, count)?)),
    }
}

fn read_start(path: &Path) -> Result<[u8; 4], DatasetError> {
    let (mut file, _) = crate::limits::open_regular(path)?;
    let mut start = [0; 4];
    std::io::Read::read_exact(&mut file, &mut start).map_err(|e| DatasetError::io(path, "read", e))?;
    Ok(start)
}

/// An array as images `[n, h, w, c]`, from `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` with `c` 1 or 3 (channels
/// last wins when both fit). Integers are pixels in 0..=255. Floats are in [0, 1] when none is negative, else in
/// [-1, 1]. `name` is for the errors.
///
/// # Errors
/// [`DatasetError::Unsuitable`] for another shape or a value out of range, [`DatasetError::Empty`].
pub fn to_images(name: &str, array: AnyArray) -> Result<Array4<u8>, DatasetError> {
    let shape = array.shape().to_vec();
    let suitable = "images [n, h, w], [n, h, w, c] or [n, c, h, w] with c 1 or 3, none of them 0";
    let wrong = || DatasetError::unsuitable(name, suitable, format!("shape {shape:?}"));
    if shape[..].contains(&0) {
        return Err(if shape.first() == Some(&0) {
            DatasetError::Empty { file: name.to_owned(), hint: format!(" (shape {shape:?})") }
        } else {
            wrong()
        });
    }
    let pixels: ArrayD<u8> = match array {
        AnyArray::F32(a) => quantise(name, a.mapv(f64::from))?,
        AnyArray::F64(a) => quantise(name, a)?,
        integers => integers.into_u8(name)?,
    };
    let pixels = match shape[..] {
        [_, _, _] => pixels.insert_axis(Axis(3)),
        [_, _, _, 1 | 3] => pixels,
        [_, 1 | 3, _, _] => pixels.permuted_axes(vec![0, 2, 3, 1]),
        _ => return Err(wrong()),
    };
    pixels.into_dimensionality::<Ix4>().map_err(|_| wrong())
}

fn quantise(name: &str, values: ArrayD<f64>) -> Result<ArrayD<u8>, DatasetError> {
    let bound = 1.0 + FLOAT_SLACK;
    if let Some(value) = values.iter().find(|v| !(-bound..=bound).contains(*v)) {
        let expected = "floats in [0, 1] or [-1, 1] (save 0..=255 as uint8)";
        return Err(DatasetError::unsuitable(name, expected, format!("the value {value}")));
    }
    let signed = values.iter().any(|&v| v < -FLOAT_SLACK);
    // A float-to-integer `as` saturates.
    Ok(values.mapv(|v| if signed { (v + 1.0) * 127.5 } else { v * 255.0 }.round() as u8))
}

/// An array `[n]` or `[n, 1]` as the labels of `count` images, each below 65536. `name` is for the errors.
///
/// # Errors
/// [`DatasetError::Unsuitable`] for another shape or a value out of range, [`DatasetError::LabelCount`].
pub fn to_labels(name: &str, array: AnyArray, count: usize) -> Result<Vec<u32>, DatasetError> {
    let shape = array.shape().to_vec();
    if !matches!(shape[..], [_] | [_, 1]) {
        return Err(DatasetError::unsuitable(
            name,
            "labels of shape [n] or [n, 1]",
            format!("shape {shape:?}"),
        ));
    }
    if shape[0] != count {
        return Err(DatasetError::LabelCount { file: name.to_owned(), expected: count, got: shape[0] });
    }
    let convert = |value: &i64| u32::try_from(*value).map_err(|_| label_range(name, value));
    let labels: Vec<u32> = array.into_i64(name)?.iter().map(convert).collect::<Result<_, _>>()?;
    check_labels(name, labels)
}

/// The labels, when each is one of a sane number of classes.
pub(crate) fn check_labels(name: &str, labels: Vec<u32>) -> Result<Vec<u32>, DatasetError> {
    match labels.iter().find(|label| **label >= MAX_CLASSES) {
        Some(label) => Err(label_range(name, label)),
        None => Ok(labels),
    }
}

fn label_range(name: &str, label: impl std::fmt::Display) -> DatasetError {
    DatasetError::unsuitable(name, format!("labels in 0..{MAX_CLASSES}"), format!("the label {label}"))
}

/// "0", "1", ... up to the largest label.
pub(crate) fn numbered(labels: Option<&[u32]>) -> Vec<String> {
    let largest = labels.and_then(|labels| labels.iter().max());
    largest.map_or(Vec::new(), |&largest| (0..=largest).map(|i| i.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::write_npz;
    use ndarray::{Array1, Array3, array};

    #[test]
    fn layouts_are_told_apart() {
        let shape = |dims: &[usize]| {
            to_images("a", AnyArray::U8(ArrayD::zeros(dims))).map(|images| images.shape().to_vec())
        };
        assert_eq!(shape(&[5, 8, 9]).unwrap(), [5, 8, 9, 1]);
        assert_eq!(shape(&[5, 8, 9, 3]).unwrap(), [5, 8, 9, 3]);
        assert_eq!(shape(&[5, 3, 8, 9]).unwrap(), [5, 8, 9, 3]);
        assert_eq!(shape(&[5, 3, 8, 3]).unwrap(), [5, 3, 8, 3]);
        for bad in [&[][..], &[5], &[5, 8], &[5, 8, 9, 4], &[5, 0, 8], &[1, 2, 3, 4, 5]] {
            assert!(matches!(shape(bad), Err(DatasetError::Unsuitable { .. })), "{bad:?}");
        }
        assert!(matches!(shape(&[0, 8, 8]), Err(DatasetError::Empty { .. })));
    }

    #[test]
    fn channels_second_moves_the_values() {
        let chw = ArrayD::from_shape_fn(vec![1, 3, 2, 2], |i| (i[1] * 100 + i[2] * 10 + i[3]) as u8);
        let images = to_images("a", AnyArray::U8(chw)).unwrap();
        assert_eq!(images[[0, 1, 0, 2]], 210);
    }

    #[test]
    fn floats_follow_the_range_rule() {
        let pixels = |values: [f64; 3]| {
            let array = Array3::from_shape_vec((1, 1, 3), values.to_vec()).unwrap();
            to_images("a.npy", array.into()).map(|images| images.into_raw_vec_and_offset().0)
        };
        assert_eq!(pixels([0.0, 0.5, 1.0]).unwrap(), [0, 128, 255]);
        assert_eq!(pixels([-1.0, 0.0, 1.0]).unwrap(), [0, 128, 255]);
        assert_eq!(pixels([-1e-6, 0.0, 1.000_001]).unwrap(), [0, 0, 255]);
        assert!(pixels([0.0, 128.0, 255.0]).unwrap_err().to_string().contains("as uint8"));
        assert!(pixels([0.0, f64::NAN, 1.0]).is_err());
    }

    #[test]
    fn labels_are_checked() {
        assert_eq!(to_labels("a", array![[3_i64], [0]].into(), 2).unwrap(), [3, 0]);
        assert!(matches!(
            to_labels("a", array![1_u8].into(), 2),
            Err(DatasetError::LabelCount { expected: 2, got: 1, .. })
        ));
        assert!(to_labels("a", array![-1_i64].into(), 1).is_err());
        assert!(to_labels("a", array![1_i64 << 40].into(), 1).is_err());
        assert!(to_labels("a", array![[1_u8, 2]].into(), 1).is_err());
    }

    #[test]
    fn archives_by_the_usual_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let images = |n: usize| AnyArray::from(Array3::<u8>::zeros((n, 4, 4)));
        for (pixels, labels) in [("x", Some("labels")), ("images", Some("y")), ("arr_0", None)] {
            let mut arrays = vec![(pixels, images(3))];
            arrays.extend(labels.map(|name| (name, Array1::from(vec![2_i64, 0, 1]).into())));
            write_npz(&path, &arrays).unwrap();
            let loaded = load_numpy(&path, Split::Train).unwrap();
            assert_eq!(loaded.images.dim(), (3, 4, 4, 1));
            assert_eq!(loaded.labels.is_some(), labels.is_some(), "{pixels}");
        }
        write_npz(&path, &[("x_train", images(3)), ("x_test", images(2))]).unwrap();
        assert_eq!(load_numpy(&path, Split::Test).unwrap().images.dim().0, 2);
        write_npz(&path, &[("z", images(3))]).unwrap();
        let error = load_numpy(&path, Split::Train).err().unwrap().to_string();
        assert!(error.contains(r#"found ["z"]"#), "{error}");
    }
}
