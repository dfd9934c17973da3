//! Loads images from array files: IDX, npy and npz, all converted to u8 `[n, h, w, c]`.

use std::path::Path;

use ndarray::{Array4, ArrayD, Axis, Ix4};

use crate::array::AnyArray;
use crate::array_names::choose;
use crate::error::DatasetError;
use crate::idx::read_idx;
use crate::labels::{Labels, to_labels};
use crate::npy::read_npy;
use crate::npz::Npz;
use crate::options::OpenOptions;
use crate::ranges::to_bytes;
use crate::split::Split;

/// Images `[n, h, w, c]`, labels if there are any, and class names if the format has them.
pub(crate) struct ArrayImages {
    pub(crate) images: Array4<u8>,
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Vec<String>,
    /// Notes for the user, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl ArrayImages {
    fn new((images, note): (Array4<u8>, Option<String>), labels: Labels) -> Self {
        let notes = note.into_iter().chain(labels.note).collect();
        Self { images, labels: labels.labels, class_names: labels.class_names, notes }
    }
}

/// Loads an IDX file of images and, if given, one of labels.
pub(crate) fn load_idx(
    images: &Path,
    labels: Option<&Path>,
    options: &OpenOptions,
) -> Result<ArrayImages, DatasetError> {
    let parse = |path: &Path| read_idx(path, options.inflation()).map(AnyArray::U8);
    let pixels = to_pixels(&images.display().to_string(), parse(images)?)?;
    let labels = match labels {
        None => Labels::default(),
        Some(path) => {
            let name = path.display().to_string();
            let read = parse(path).and_then(|array| to_labels(&name, array, pixels.0.dim().0));
            Labels::new(&name, read, options.labels_required)?
        }
    };
    Ok(ArrayImages::new(pixels, labels))
}

/// Loads a `.npy` file of images, or a `.npz` archive with images and possibly labels under the usual names.
pub(crate) fn load_numpy(
    path: &Path,
    split: Option<Split>,
    options: &OpenOptions,
) -> Result<ArrayImages, DatasetError> {
    let name = path.display().to_string();
    let magic = read_start(path)?;
    if magic == *b"\x93NUM" {
        if let Some(asked) = split {
            return Err(DatasetError::NoPart { file: name, asked, found: Vec::new() });
        }
        return Ok(ArrayImages::new(to_pixels(&name, read_npy(path)?)?, Labels::default()));
    }
    let mut npz = Npz::open(path)?.with_unpacked_limit(options.unpacked_limit);
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    let chosen = choose(&name, &names, split)?;
    let pixels = to_pixels(&format!("{name}[{}]", chosen.images), npz.array(chosen.images)?)?;
    let labels = match chosen.labels {
        None => Labels::default(),
        Some(array) => {
            let name = format!("{name}[{array}]");
            let read = npz.array(array).and_then(|array| to_labels(&name, array, pixels.0.dim().0));
            Labels::new(&name, read, options.labels_required)?
        }
    };
    let mut loaded = ArrayImages::new(pixels, labels);
    loaded.notes.extend(chosen.note(&names));
    Ok(loaded)
}

fn read_start(path: &Path) -> Result<[u8; 4], DatasetError> {
    let (mut file, _) = crate::limits::open_regular(path)?;
    let mut start = [0; 4];
    std::io::Read::read_exact(&mut file, &mut start).map_err(|e| DatasetError::io(path, "read", e))?;
    Ok(start)
}

/// Converts an array to images `[n, h, w, c]`, from `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` with `c` 1 or 3;
/// channels last wins if both fit. Integers are pixels in 0..=255, or black and white if there are only 0 and 1
/// (booleans). Floats are in [0, 1] if none is negative, else in [-1, 1]. `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Unsuitable`] for another shape or a value out of range; [`DatasetError::Empty`].
pub fn to_images(name: &str, array: AnyArray) -> Result<Array4<u8>, DatasetError> {
    Ok(to_pixels(name, array)?.0)
}

/// Like [`to_images`], with a note if the values were not plain pixels.
fn to_pixels(name: &str, array: AnyArray) -> Result<(Array4<u8>, Option<String>), DatasetError> {
    check_shape(name, array.shape())?;
    let thin = match array.shape() {
        [count @ (1 | 3), height, width] if *height.min(width) >= 8 => Some(format!(
            "{name}: shape [{count}, {height}, {width}] is read as {count} grey images of {width}x{height}; a single colour image \
             needs a leading axis"
        )),
        _ => None,
    };
    let (bytes, note) = to_bytes(name, array)?;
    Ok((arrange(name, bytes)?, note.or(thin)))
}

/// Arranges values that are known to be pixels as images `[n, h, w, c]`; see [`to_images`].
pub(crate) fn arrange(name: &str, pixels: ArrayD<u8>) -> Result<Array4<u8>, DatasetError> {
    let shape = pixels.shape().to_vec();
    check_shape(name, &shape)?;
    let pixels = match shape[..] {
        [_, _, _] => pixels.insert_axis(Axis(3)),
        [_, _, _, 1 | 3] => pixels,
        _ => pixels.permuted_axes(vec![0, 2, 3, 1]),
    };
    pixels.into_dimensionality::<Ix4>().map_err(|_| wrong_shape(name, &shape))
}

fn check_shape(name: &str, shape: &[usize]) -> Result<(), DatasetError> {
    match shape {
        [0, ..] => Err(DatasetError::Empty { file: name.to_owned(), hint: format!(" (shape {shape:?})") }),
        _ if shape.contains(&0) => Err(wrong_shape(name, shape)),
        // A single image, saved without a leading axis.
        [height, width, channels @ (1 | 3 | 4)] if *height.min(width) >= 8 => {
            let expected = format!(
                "images [n, h, w], [n, h, w, c] or [n, c, h, w] (a single image needs a leading axis, images {channels} \
                 pixels wide a trailing channel axis)"
            );
            Err(DatasetError::unsuitable(name, expected, format!("shape {shape:?}")))
        }
        [_, _, _] | [_, _, _, 1 | 3] | [_, 1 | 3, _, _] => Ok(()),
        _ => Err(wrong_shape(name, shape)),
    }
}

fn wrong_shape(name: &str, shape: &[usize]) -> DatasetError {
    let alpha = matches!(shape, [_, _, _, 2 | 4] | [_, 2 | 4, _, _]);
    let advice = if alpha { " (leave out the alpha channel)" } else { "" };
    let expected =
        format!("images [n, h, w], [n, h, w, c] or [n, c, h, w] with c 1 or 3, none of them 0{advice}");
    DatasetError::unsuitable(name, expected, format!("shape {shape:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz_write::write_npz;
    use ndarray::{Array1, Array3, array};

    #[test]
    fn layouts_are_distinguished() {
        let shape = |dims: &[usize]| {
            to_images("a", AnyArray::U8(ArrayD::zeros(dims))).map(|images| images.shape().to_vec())
        };
        assert_eq!(shape(&[5, 8, 9]).unwrap(), [5, 8, 9, 1]);
        assert_eq!(shape(&[5, 8, 9, 3]).unwrap(), [5, 8, 9, 3]);
        assert_eq!(shape(&[5, 3, 8, 9]).unwrap(), [5, 8, 9, 3]);
        assert_eq!(shape(&[5, 3, 8, 3]).unwrap(), [5, 3, 8, 3]);
        assert!(shape(&[5, 8, 9, 4]).unwrap_err().to_string().contains("alpha"));
        for one in [&[16, 16, 3][..], &[28, 30, 1], &[8, 8, 4]] {
            assert!(
                shape(one).unwrap_err().to_string().contains("a single image needs a leading axis"),
                "{one:?}"
            );
        }
        let note = |dims: &[usize]| to_pixels("a", AnyArray::U8(ArrayD::from_elem(dims, 200))).unwrap().1;
        assert!(note(&[3, 32, 32]).unwrap().contains("3 grey images of 32x32"));
        assert_eq!(note(&[5, 8, 9]), None);
        for bad in [&[][..], &[5], &[5, 8], &[5, 8, 9, 4], &[5, 0, 8], &[1, 2, 3, 4, 5]] {
            assert!(matches!(shape(bad), Err(DatasetError::Unsuitable { .. })), "{bad:?}");
        }
        assert!(matches!(shape(&[0, 8, 8]), Err(DatasetError::Empty { .. })));
    }

    #[test]
    fn channels_second_is_transposed() {
        let chw = ArrayD::from_shape_fn(vec![1, 3, 2, 2], |i| (i[1] * 100 + i[2] * 10 + i[3]) as u8);
        let images = to_images("a", AnyArray::U8(chw)).unwrap();
        assert_eq!(images[[0, 1, 0, 2]], 210);
    }

    #[test]
    fn archives_with_the_usual_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let load = |split| load_numpy(&path, split, &OpenOptions::default());
        let images = |n: usize| AnyArray::from(Array3::<u8>::zeros((n, 4, 4)));
        for (pixels, labels) in [("x", Some("labels")), ("images", Some("y")), ("arr_0", None)] {
            let mut arrays = vec![(pixels, images(3))];
            arrays.extend(labels.map(|name| (name, Array1::from(vec![2_i64, 0, 1]).into())));
            write_npz(&path, &arrays).unwrap();
            let loaded = load(None).unwrap();
            assert_eq!(loaded.images.dim(), (3, 4, 4, 1));
            assert_eq!(loaded.labels.is_some(), labels.is_some(), "{pixels}");
            assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        }
        write_npz(&path, &[("x_train", images(3)), ("x_test", images(2))]).unwrap();
        assert_eq!(load(Some(Split::Test)).unwrap().images.dim().0, 2);
        assert_eq!(load(None).unwrap().notes, ["images come from x_train; left out: x_test"]);
        write_npz(&path, &[("z", images(3))]).unwrap();
        let error = load(None).err().unwrap().to_string();
        assert!(error.contains(r#"found ["z"]"#), "{error}");
    }

    /// A bare array has no parts, so it must not pass as held-out images.
    #[test]
    fn a_single_array_has_no_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        crate::write_npy(&path, &Array3::<u8>::zeros((2, 4, 4))).unwrap();
        let load = |split| load_numpy(&path, split, &OpenOptions::default());
        assert_eq!(load(None).unwrap().images.dim().0, 2);
        for part in Split::ALL {
            assert!(matches!(load(Some(part)), Err(DatasetError::NoPart { .. })));
        }
    }

    #[test]
    fn labels_are_an_error_only_where_they_are_required() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let images = || ("images", AnyArray::from(Array3::<u8>::zeros((2, 4, 4))));
        let load = |labels_required| {
            let options = OpenOptions { labels_required, ..OpenOptions::default() };
            load_numpy(&path, None, &options)
        };
        for labels in
            [array![[1_u8, 1], [0, 1]].into(), array![0.5, 1.0].into(), AnyArray::from(array![1_u8])]
        {
            write_npz(&path, &[images(), ("labels", labels)]).unwrap();
            assert!(load(true).is_err());
            let loaded = load(false).unwrap();
            assert!(loaded.labels.is_none());
            assert!(loaded.notes[0].contains("labels are not used"), "{:?}", loaded.notes);
        }
        write_npz(&path, &[images(), ("labels", array![[0_u8, 1], [1, 0]].into())]).unwrap();
        assert_eq!(load(true).unwrap().labels.unwrap(), [1, 0]);
    }
}
