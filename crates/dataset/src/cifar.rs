//! Parses CIFAR-10 and CIFAR-100 in the binary version: one record per image, labels first, then 32x32 pixels as a red,
//! a green and a blue plane (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use ndarray::{Array4, ArrayView4};

use crate::error::DatasetError;

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

/// Class names of CIFAR-10 in label order.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-10 or CIFAR-100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CifarKind {
    /// One label byte in 0..10; 3073 bytes per record.
    Cifar10,
    /// A coarse label in 0..20 and a fine one in 0..100; 3074 bytes per record. The fine label is used.
    Cifar100,
}

impl CifarKind {
    /// Bytes per record.
    #[must_use]
    pub fn record(self) -> usize {
        PIXELS + self.label_bytes()
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }

    fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    /// Whether a file may start with this record.
    pub(crate) fn may_begin(self, start: &[u8]) -> bool {
        start.len() >= self.label_bytes() && self.labels_fit(start)
    }

    fn labels_fit(self, record: &[u8]) -> bool {
        match self {
            Self::Cifar10 => record[0] < 10,
            Self::Cifar100 => record[0] < 20 && record[1] < 100,
        }
    }
}

/// Images `[n, 32, 32, 3]` and labels of one batch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CifarBatch {
    /// The dataset of the records.
    pub kind: CifarKind,
    /// Pixels, HWC.
    pub images: Array4<u8>,
    /// One label per image.
    pub labels: Vec<u32>,
}

/// Recognises a batch file by its length and the range of every label.
#[must_use]
pub fn recognise_cifar(bytes: &[u8]) -> Option<CifarKind> {
    [CifarKind::Cifar10, CifarKind::Cifar100].into_iter().find(|kind| {
        let records = bytes.chunks_exact(kind.record());
        !bytes.is_empty() && records.remainder().is_empty() && records.clone().all(|r| kind.labels_fit(r))
    })
}

/// Parses a batch file; `name` is for error messages.
///
/// # Errors
/// [`DatasetError::Malformed`] if the length is not a multiple of the record size, or a label is out of range.
pub fn parse_cifar(name: &str, bytes: &[u8]) -> Result<CifarBatch, DatasetError> {
    let Some(kind) = recognise_cifar(bytes) else {
        return Err(explain(name, bytes));
    };
    let (mut pixels, mut labels) = (Vec::with_capacity(bytes.len()), Vec::new());
    for record in bytes.chunks_exact(kind.record()) {
        let (label, planes) = record.split_at(kind.label_bytes());
        labels.push(u32::from(label[kind.label_bytes() - 1]));
        pixels.extend_from_slice(planes);
    }
    let planes = ArrayView4::from_shape((labels.len(), 3, SIDE, SIDE), &pixels)
        .map_err(|e| DatasetError::malformed(name, "CIFAR", "whole records", e.to_string()))?;
    // [n, c, h, w] -> [n, h, w, c]
    let images = planes.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned();
    Ok(CifarBatch { kind, images, labels })
}

fn explain(name: &str, bytes: &[u8]) -> DatasetError {
    let kind = [CifarKind::Cifar10, CifarKind::Cifar100]
        .into_iter()
        .find(|kind| !bytes.is_empty() && bytes.len().is_multiple_of(kind.record()));
    match kind {
        None => {
            let expected = "a multiple of 3073 (CIFAR-10) or 3074 (CIFAR-100) bytes";
            DatasetError::malformed(name, "CIFAR", expected, files::counted(bytes.len(), "byte"))
        }
        Some(kind) => {
            let bad = bytes.chunks_exact(kind.record()).position(|r| !kind.labels_fit(r)).unwrap_or(0);
            let label = &bytes[bad * kind.record()..][..kind.label_bytes()];
            let expected = format!("labels of {} classes", kind.classes());
            DatasetError::malformed(name, "CIFAR", expected, format!("{label:?} in record {bad}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8]) -> Vec<u8> {
        let mut bytes = labels.to_vec();
        bytes.extend((0..PIXELS).map(|i| (i / (SIDE * SIDE) * 100 + i % 50) as u8));
        bytes
    }

    #[test]
    fn planes_become_interleaved_pixels() {
        let bytes = [record(&[3]), record(&[9])].concat();
        let batch = parse_cifar("a", &bytes).unwrap();
        assert_eq!((batch.kind, batch.labels), (CifarKind::Cifar10, vec![3, 9]));
        assert_eq!(batch.images.dim(), (2, 32, 32, 3));
        for ((_, y, x, c), &value) in batch.images.indexed_iter() {
            assert_eq!(usize::from(value), c * 100 + (c * SIDE * SIDE + y * SIDE + x) % 50);
        }
    }

    #[test]
    fn cifar_100_uses_the_fine_label() {
        let batch = parse_cifar("a", &[record(&[19, 99]), record(&[0, 42])].concat()).unwrap();
        assert_eq!((batch.kind, batch.labels), (CifarKind::Cifar100, vec![99, 42]));
    }

    #[test]
    fn malformed_files_are_refused() {
        let cases = [
            (vec![], "found 0 bytes"),
            (vec![0; 3072], "found 3072 bytes"),
            ([record(&[1]), vec![0; 2]].concat(), "found 3075 bytes"),
            ([record(&[1]), record(&[10])].concat(), "labels of 10 classes, found [10] in record 1"),
            (record(&[20, 0]), "labels of 100 classes, found [20, 0] in record 0"),
        ];
        for (bytes, text) in cases {
            let error = parse_cifar("a.bin", &bytes).unwrap_err().to_string();
            assert!(error.contains(text), "{error} lacks {text}");
        }
    }
}
