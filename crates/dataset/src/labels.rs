//! Reads labels from an array: class numbers, or one-hot rows.

use std::collections::BTreeSet;

use ndarray::Axis;

use crate::array::AnyArray;
use crate::error::DatasetError;

/// Labels from this on are an error, not a class.
const MAX_CLASSES: u32 = 1 << 16;

/// The labels of a dataset, or why they are not used.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    /// One per image, if they can be used.
    pub(crate) labels: Option<Vec<u32>>,
    /// Names of the classes, "0", "1", ... up to the largest label.
    pub(crate) class_names: Vec<String>,
    /// A note for the user.
    pub(crate) note: Option<String>,
}

impl Labels {
    /// Takes labels that were read. Unusable labels are an error if they are `required`, else they are dropped.
    ///
    /// # Errors
    /// The error of reading them.
    pub(crate) fn new(
        name: &str,
        read: Result<Vec<u32>, DatasetError>,
        required: bool,
    ) -> Result<Self, DatasetError> {
        match read {
            Ok(labels) => {
                let class_names = numbered(Some(&labels));
                let note = unused_note(name, &labels, class_names.len());
                Ok(Self { labels: Some(labels), class_names, note })
            }
            Err(error) if required => Err(error),
            Err(error) => {
                Ok(Self { note: Some(format!("the labels are not used: {error}")), ..Self::default() })
            }
        }
    }
}

/// Converts an array `[n]` or `[n, 1]` to the labels of `count` images, each below 65536. An array `[n, k]` with k at
/// least 2 must be one-hot: a single 1 in each row and 0 elsewhere. `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Unsuitable`] for another shape or a value out of range; [`DatasetError::LabelCount`].
///
/// ```
/// let one_hot = ndarray::array![[0.0_f32, 1.0], [1.0, 0.0]];
/// assert_eq!(dataset::to_labels("labels", one_hot.into(), 2)?, [1, 0]);
/// # Ok::<(), dataset::DatasetError>(())
/// ```
pub fn to_labels(name: &str, array: AnyArray, count: usize) -> Result<Vec<u32>, DatasetError> {
    let shape = array.shape().to_vec();
    let (&[rows] | &[rows, _]) = &shape[..] else {
        let found = format!("shape {shape:?}");
        return Err(DatasetError::unsuitable(name, "labels of shape [n], [n, 1] or one-hot [n, k]", found));
    };
    if rows != count {
        return Err(DatasetError::LabelCount { file: name.to_owned(), expected: count, got: rows });
    }
    if let [_, classes] = shape[..]
        && classes != 1
    {
        return one_hot(name, array, classes);
    }
    let convert = |value: &i64| u32::try_from(*value).map_err(|_| label_range(name, value));
    let labels: Vec<u32> = array.into_i64(name)?.iter().map(convert).collect::<Result<_, _>>()?;
    check_labels(name, labels)
}

fn one_hot(name: &str, array: AnyArray, classes: usize) -> Result<Vec<u32>, DatasetError> {
    if classes > MAX_CLASSES as usize {
        return Err(label_range(name, classes - 1));
    }
    let expected = "one class per image: a number, or a row with one 1 and 0 elsewhere";
    // Rows without numbers take no memory, so a small file may claim any number of them.
    if classes == 0 {
        return Err(DatasetError::unsuitable(name, expected, "rows of 0 numbers".to_owned()));
    }
    let values = array.into_f64();
    let mut labels = Vec::with_capacity(values.shape()[0]);
    for (index, row) in values.axis_iter(Axis(0)).enumerate() {
        let ones = row.iter().filter(|&&v| v == 1.0).count();
        if let Some(other) = row.iter().find(|&&v| v != 0.0 && v != 1.0) {
            return Err(DatasetError::unsuitable(
                name,
                expected,
                format!("the value {other} in row {index}"),
            ));
        }
        match row.iter().position(|&v| v == 1.0) {
            Some(class) if ones == 1 => labels.push(class as u32),
            _ => return Err(DatasetError::unsuitable(name, expected, format!("{ones} ones in row {index}"))),
        }
    }
    Ok(labels)
}

/// Returns the labels if all are below the maximum number of classes.
pub(crate) fn check_labels(name: &str, labels: Vec<u32>) -> Result<Vec<u32>, DatasetError> {
    match labels.iter().find(|label| **label >= MAX_CLASSES) {
        Some(label) => Err(label_range(name, label)),
        None => Ok(labels),
    }
}

pub(crate) fn label_range(name: &str, label: impl std::fmt::Display) -> DatasetError {
    DatasetError::unsuitable(name, format!("labels in 0..{MAX_CLASSES}"), format!("the label {label}"))
}

/// "0", "1", ... up to the largest label.
pub(crate) fn numbered(labels: Option<&[u32]>) -> Vec<String> {
    let largest = labels.and_then(|labels| labels.iter().max());
    largest.map_or(Vec::new(), |&largest| (0..=largest).map(|i| i.to_string()).collect())
}

/// Class numbers stay as in the file, so some may have no image: labels counted from 1 leave class 0 empty.
fn unused_note(name: &str, labels: &[u32], classes: usize) -> Option<String> {
    let used: BTreeSet<u32> = labels.iter().copied().collect();
    let (smallest, largest) = (used.first()?, used.last()?);
    let empty = classes - used.len();
    match empty {
        0 => None,
        1 if *smallest == 1 => Some(format!(
            "{name}: labels go from 1 to {largest}, so that is {classes} classes, and class 0 has no images; subtract 1 \
             for {}",
            files::counted(*largest, "class")
        )),
        _ => Some(format!(
            "{name}: labels go from {smallest} to {largest}, so that is {classes} classes, {empty} of them without images"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn labels_are_checked() {
        assert_eq!(to_labels("a", array![[3_i64], [0]].into(), 2).unwrap(), [3, 0]);
        assert!(matches!(
            to_labels("a", array![1_u8].into(), 2),
            Err(DatasetError::LabelCount { expected: 2, got: 1, .. })
        ));
        assert!(to_labels("a", array![-1_i64].into(), 1).is_err());
        assert!(to_labels("a", array![1_i64 << 40].into(), 1).is_err());
        assert!(to_labels("a", array![0.5_f32].into(), 1).is_err());
        assert!(to_labels("a", array![[[1_u8]]].into(), 1).is_err());
    }

    #[test]
    fn only_one_hot_rows_are_classes() {
        assert_eq!(to_labels("a", array![[0_u8, 0, 1], [1, 0, 0]].into(), 2).unwrap(), [2, 0]);
        assert_eq!(to_labels("a", array![[0.0, 1.0]].into(), 1).unwrap(), [1]);
        for (wrong, found) in [
            (array![[1.0, 1.0]], "found 2 ones in row 0"),
            (array![[0.0, 0.0]], "found 0 ones in row 0"),
            (array![[0.5, 0.5]], "found the value 0.5 in row 0"),
            (array![[1.0, f64::NAN]], "found the value NaN in row 0"),
        ] {
            let error = to_labels("a", wrong.into(), 1).unwrap_err().to_string();
            assert!(error.ends_with(found), "{error}");
        }
        let none = ndarray::Array2::<f64>::zeros((1 << 62, 0));
        let error = to_labels("a", none.into(), 1 << 62).unwrap_err().to_string();
        assert!(error.ends_with("found rows of 0 numbers"), "{error}");
    }

    #[test]
    fn unusable_optional_labels_are_dropped_with_a_reason() {
        let wrong = || to_labels("a", array![[1_u8, 1]].into(), 1);
        assert!(Labels::new("a", wrong(), true).is_err());
        let left = Labels::new("a", wrong(), false).unwrap();
        assert!(left.labels.is_none() && left.class_names.is_empty());
        let note = left.note.unwrap();
        assert!(note.starts_with("the labels are not used: a: expected one class per image"), "{note}");
    }

    #[test]
    fn classes_without_images_are_noted() {
        let note = |labels: &[u32]| Labels::new("a", Ok(labels.to_vec()), true).unwrap().note;
        assert_eq!(note(&[0, 2, 1]), None);
        assert!(note(&[5, 1, 2, 3, 4]).unwrap().contains("6 classes, and class 0 has no images"));
        assert!(note(&[0, 300]).unwrap().contains("301 classes, 299 of them without images"));
    }
}
