//! Loads CIFAR-10 or CIFAR-100 from a batch file, from the folder of the unpacked download, or from the download.

use std::path::{Path, PathBuf};

use ndarray::Axis;

use crate::arrays::ArrayImages;
use crate::cifar::{CIFAR10_CLASSES, CifarBatch, CifarKind, parse_cifar};
use crate::error::DatasetError;
use crate::limits::{Inflation, MAX_FILE, read_file};
use crate::split::Split;
use crate::tar::Tar;

/// Batches of the training part in their order: those of CIFAR-10, then that of CIFAR-100.
const TRAIN: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "train.bin",
];
const TEST: [&str; 2] = ["test_batch.bin", "test.bin"];
/// Advice for the other version.
pub(crate) const PICKLES: &str = "this is CIFAR as Python pickles, which are never read; use the binary version, \
                                  cifar-10-binary.tar.gz or cifar-100-binary.tar.gz";

/// Whether a folder of this name, with or without `./` and `/`, is the one of the binary version.
pub(crate) fn is_binary(folder: &str) -> bool {
    ["cifar-10-batches-bin", "cifar-100-binary"].contains(&outermost(folder))
}

/// The same for the Python version.
pub(crate) fn is_pickled(folder: &str) -> bool {
    ["cifar-10-batches-py", "cifar-100-python"].contains(&outermost(folder))
}

fn outermost(path: &str) -> &str {
    path.trim_start_matches("./").split('/').next().unwrap_or_default()
}

/// Loads one batch file, or the training batches of a folder in order.
pub(crate) fn load_cifar(path: &Path) -> Result<ArrayImages, DatasetError> {
    let files: Vec<PathBuf> = if path.is_dir() {
        TRAIN.map(|name| path.join(name)).into_iter().filter(|file| file.is_file()).collect()
    } else {
        vec![path.to_owned()]
    };
    let mut batches = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        batches.push((parse_cifar(&name, &read_file(file, MAX_FILE)?)?, name));
    }
    let expected = if path.is_dir() { &TRAIN[..] } else { &[] };
    joined(&path.display().to_string(), batches, expected)
}

/// Loads the training or the test batches of a tar archive.
pub(crate) fn load_archive(
    path: &Path,
    part: Split,
    inflation: Inflation,
) -> Result<ArrayImages, DatasetError> {
    let name = path.display().to_string();
    let wanted = if part == Split::Test { &TEST[..] } else { &TRAIN[..] };
    let mut tar = Tar::open(path, inflation)?;
    let mut found: Vec<(usize, CifarBatch, String)> = Vec::new();
    while let Some(member) = tar.advance()? {
        let file = member.path.rsplit('/').next().unwrap_or_default();
        let Some(place) = wanted.iter().position(|name| *name == file) else { continue };
        let name = format!("{name}[{}]", member.path);
        if found.iter().any(|(other, ..)| *other == place) {
            return Err(DatasetError::unsuitable(&name, "each batch once", "it twice"));
        }
        found.push((place, parse_cifar(&name, &tar.read(&member)?)?, name));
    }
    // In an archive they may have any order.
    found.sort_by_key(|(place, ..)| *place);
    let batches = found.into_iter().map(|(_, batch, name)| (batch, name)).collect();
    joined(&name, batches, wanted)
}

/// Joins the batches. `expected` are the names of those that a folder or an archive should have.
fn joined(
    source: &str,
    batches: Vec<(CifarBatch, String)>,
    expected: &[&str],
) -> Result<ArrayImages, DatasetError> {
    let Some((CifarBatch { kind, .. }, _)) = batches.first() else {
        return Err(DatasetError::unsuitable(source, expected.join(", "), "none of them"));
    };
    let kind = *kind;
    if let Some((other, name)) = batches.iter().find(|(batch, _)| batch.kind != kind) {
        return Err(DatasetError::unsuitable(name, format!("{kind:?}"), format!("{:?}", other.kind)));
    }
    let views: Vec<_> = batches.iter().map(|(batch, _)| batch.images.view()).collect();
    let images = ndarray::concatenate(Axis(0), &views)
        .map_err(|e| DatasetError::unsuitable(source, "batches of one shape", e.to_string()))?;
    let mut notes = Vec::new();
    if expected == TRAIN && kind == CifarKind::Cifar10 && batches.len() < 5 {
        notes.push(format!("{} of the 5 training batches were found", batches.len()));
    }
    let class_names = match kind {
        CifarKind::Cifar10 => CIFAR10_CLASSES.map(str::to_owned).to_vec(),
        CifarKind::Cifar100 => (0..kind.classes()).map(|i| i.to_string()).collect(),
    };
    let labels = batches.iter().flat_map(|(batch, _)| batch.labels.iter().copied()).collect();
    Ok(ArrayImages { images, labels: Some(labels), class_names, notes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::tests::{gzip, tar};

    /// A batch of CIFAR-10 with one image of each of these labels.
    fn batch(labels: &[u8]) -> Vec<u8> {
        labels.iter().flat_map(|&label| std::iter::once(label).chain([label * 20; 3072])).collect()
    }

    fn load(bytes: &[u8], part: Split) -> Result<ArrayImages, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cifar-10-binary.tar.gz");
        std::fs::write(&path, bytes).unwrap();
        load_archive(&path, part, Inflation::default())
    }

    #[test]
    fn the_download_has_both_parts_in_any_order() {
        let (one, two, test) = (batch(&[1, 2]), batch(&[3]), batch(&[9]));
        let files: [(&str, &[u8]); 5] = [
            ("data_batch_2.bin", &two),
            ("batches.meta.txt", b"airplane"),
            ("test_batch.bin", &test),
            ("data_batch_1.bin", &one),
            ("readme.html", b""),
        ];
        for bytes in [tar("cifar-10-batches-bin/", &files), gzip(&tar("cifar-10-batches-bin/", &files))] {
            let train = load(&bytes, Split::Train).unwrap();
            assert_eq!(train.labels.unwrap(), [1, 2, 3]);
            assert_eq!(train.images[[2, 31, 31, 2]], 60);
            assert_eq!(train.notes, ["2 of the 5 training batches were found"]);
            let test = load(&bytes, Split::Test).unwrap();
            assert_eq!((test.labels.unwrap(), test.class_names.len()), (vec![9], 10));
            assert!(test.notes.is_empty());
        }
    }

    #[test]
    fn archives_without_their_batches_are_refused() {
        let fail = |files: &[(&str, &[u8])]| load(&tar("x/", files), Split::Train).err().unwrap().to_string();
        let (one, many) = (batch(&[1]), batch(&[10]));
        assert!(fail(&[("a.bin", &one)]).contains("expected data_batch_1.bin"));
        assert!(fail(&[("train.bin", &one), ("train.bin", &one)]).contains("found it twice"));
        assert!(fail(&[("data_batch_1.bin", &many)]).contains("[x/data_batch_1.bin] is not valid CIFAR"));
        assert!(fail(&[("data_batch_1.bin", &one[1..])]).contains("found 3072 bytes"));
    }

    #[test]
    fn folders_have_their_names() {
        assert!(is_binary("cifar-10-batches-bin/") && is_binary("./cifar-100-binary/train.bin"));
        assert!(is_pickled("cifar-10-batches-py/") && is_pickled("cifar-100-python"));
        assert!(!is_binary("photos/cifar-10-batches-bin/") && !is_pickled(""));
    }
}
