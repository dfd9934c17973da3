//! Finds the files of MNIST and CIFAR by the names they are downloaded with.

use std::path::{Path, PathBuf};

use crate::source::Source;
use crate::split::Split;

/// IDX or CIFAR files of one part under their usual names.
pub(crate) fn known_files(path: &Path, part: Split) -> Option<Source> {
    let (idx, cifar) = match part {
        Split::Train => {
            (["train-images-idx3-ubyte", "train-images.idx3-ubyte"], ["data_batch_1.bin", "train.bin"])
        }
        Split::Test => (["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"], ["test_batch.bin", "test.bin"]),
        Split::Validation => return None,
    };
    for folder in [path, &path.join("cifar-10-batches-bin"), &path.join("cifar-100-binary")] {
        if let Some(file) = cifar.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
            let whole = part == Split::Train && cifar[0] == file.file_name().unwrap_or_default();
            return Some(Source::Cifar { path: if whole { folder.to_owned() } else { file } });
        }
    }
    // The first is the usual place; the others are where torchvision unpacks them.
    for folder in ["", "raw", "MNIST/raw", "FashionMNIST/raw"].map(|inner| path.join(inner)) {
        let with_gz = |name: &str| [folder.join(name), folder.join(format!("{name}.gz"))];
        if let Some(images) = idx.iter().flat_map(|name| with_gz(name)).find(|file| file.is_file()) {
            let labels = labels_beside(&images);
            return Some(Source::Idx { images, labels });
        }
    }
    None
}

/// `train-images-idx3-ubyte.gz` -> `train-labels-idx1-ubyte.gz`, with or without `.gz`.
pub(crate) fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    if labels == name {
        return None;
    }
    let other = match labels.strip_suffix(".gz") {
        Some(bare) => bare.to_owned(),
        None => format!("{labels}.gz"),
    };
    [labels, other].into_iter().map(|name| images.with_file_name(name)).find(|path| path.is_file())
}
