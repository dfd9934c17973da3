//! Which data is meant: from what a user types to files whose content is recognised.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::embedded::Split;
use crate::error::DatasetError;
use crate::kind_of_file::FileKind;
use crate::limits::open_regular;

/// Where images come from.
///
/// Its `Display` is a specification that [`Source::detect`] understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The set inside the program.
    Embedded {
        /// Training or test part.
        split: Split,
    },
    /// IDX files, gzipped or not.
    Idx {
        /// Images: 3 dimensions (grey), or 4 with the channels last or second.
        images: PathBuf,
        /// Labels: 1 dimension.
        labels: Option<PathBuf>,
    },
    /// CIFAR-10 or CIFAR-100, binary version.
    Cifar {
        /// A batch file, or a folder whose training batches are taken.
        path: PathBuf,
    },
    /// PNG, JPEG, WebP and BMP files, recognised by content.
    Folder {
        /// The folder: a sub-folder for each class, or flat.
        path: PathBuf,
    },
    /// Numpy arrays.
    Npz {
        /// A `.npz` archive, or a `.npy` file of images only.
        path: PathBuf,
        /// Of an archive that holds `x_train` and `x_test`, say.
        split: Split,
    },
}

impl Source {
    /// Recognises `fashion-mnist`, or a file or folder by its content; `:test` or `:train` behind it chooses
    /// the part (`train` when there is none).
    ///
    /// A folder with sub-folders `train` and `test` counts as two parts, not as two classes. A folder of one's own
    /// named `fashion-mnist` is given as `./fashion-mnist`.
    ///
    /// # Errors
    /// [`DatasetError::UnknownSource`] with what is accepted; [`DatasetError::Io`].
    ///
    /// ```
    /// use dataset::{Source, Split};
    /// assert_eq!(Source::detect("fashion-mnist:test")?, Source::Embedded { split: Split::Test });
    /// assert!(Source::detect("fashion-minst").is_err());
    /// # Ok::<(), dataset::DatasetError>(())
    /// ```
    pub fn detect(spec: &str) -> Result<Self, DatasetError> {
        let (bare, split) = match spec.rsplit_once(':') {
            // A path may itself end in ":test".
            Some((bare, "test")) if !Path::new(spec).exists() => (bare, Split::Test),
            Some((bare, "train")) if !Path::new(spec).exists() => (bare, Split::Train),
            _ => (spec, Split::Train),
        };
        if bare == "fashion-mnist" {
            return Ok(Self::Embedded { split });
        }
        let unknown =
            |reason: &str| DatasetError::UnknownSource { spec: spec.to_owned(), reason: reason.to_owned() };
        let path = Path::new(bare);
        if path.is_dir() {
            return Self::detect_folder(path, split, bare != spec, &unknown);
        }
        if !path.exists() {
            return Err(unknown("there is no such file or folder"));
        }
        let source = Self::detect_file(path, split, &unknown)?;
        if bare != spec && split == Split::Test && !matches!(source, Self::Npz { .. }) {
            return Err(unknown("a single file has no parts; name the file of the test part"));
        }
        Ok(source)
    }

    fn detect_folder(
        path: &Path,
        split: Split,
        asked: bool,
        unknown: &dyn Fn(&str) -> DatasetError,
    ) -> Result<Self, DatasetError> {
        let idx = match split {
            Split::Train => ["train-images-idx3-ubyte", "train-images.idx3-ubyte"],
            Split::Test => ["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"],
        };
        let cifar: &[&str] = match split {
            Split::Train => &["data_batch_1.bin", "train.bin"],
            Split::Test => &["test_batch.bin", "test.bin"],
        };
        for folder in [path, &path.join("cifar-10-batches-bin"), &path.join("cifar-100-binary")] {
            if let Some(file) = cifar.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
                let whole = split == Split::Train && cifar[0] == file.file_name().unwrap_or_default();
                return Ok(Self::Cifar { path: if whole { folder.to_owned() } else { file } });
            }
        }
        // The first is where the files lie; the others are how torchvision unpacks them.
        for folder in ["", "raw", "MNIST/raw", "FashionMNIST/raw"].map(|inner| path.join(inner)) {
            let with_gz = |name: &str| [folder.join(name), folder.join(format!("{name}.gz"))];
            if let Some(images) = idx.iter().flat_map(|name| with_gz(name)).find(|file| file.is_file()) {
                let labels = labels_beside(&images);
                return Ok(Self::Idx { images, labels });
            }
        }
        if path.join("data_batch_1").is_file() || path.join("cifar-10-batches-py").is_dir() {
            return Err(unknown(
                "this is CIFAR-10 as Python pickles, which are never read; take the binary version",
            ));
        }
        // The names of the files that were looked for are those of one part only.
        if split == Split::Train
            && let Ok(Self::Idx { .. } | Self::Cifar { .. }) =
                Self::detect_folder(path, Split::Test, true, unknown)
        {
            return Err(unknown("the folder holds the test part only; put :test behind it to take that"));
        }
        match (parts(path), asked) {
            (Some(parts), _) => {
                let part = match split {
                    Split::Train => "train",
                    Split::Test => "test",
                };
                let part = parts.into_iter().find(|p| p.ends_with(part));
                part.map(|path| Self::Folder { path }).ok_or_else(|| unknown("the folder has no such part"))
            }
            (None, true) if split == Split::Test => Err(unknown("the folder has no test part")),
            (None, _) => Ok(Self::Folder { path: path.to_owned() }),
        }
    }

    fn detect_file(
        path: &Path,
        split: Split,
        unknown: &dyn Fn(&str) -> DatasetError,
    ) -> Result<Self, DatasetError> {
        let (file, length) = open_regular(path)?;
        let mut start = Vec::new();
        file.take(FileKind::START as u64)
            .read_to_end(&mut start)
            .map_err(|e| DatasetError::io(path, "read", e))?;
        let path = path.to_owned();
        match FileKind::recognise(&start, length) {
            Some(FileKind::Numpy) => return Ok(Self::Npz { path, split }),
            Some(FileKind::Idx) => {
                let labels = labels_beside(&path);
                return Ok(Self::Idx { images: path, labels });
            }
            Some(FileKind::Cifar) => return Ok(Self::Cifar { path }),
            // Of a kind that is read, or of another.
            Some(FileKind::Image) => {}
            None if image::guess_format(&start).is_ok() => {}
            None if start.is_empty() => return Err(unknown("the file is empty")),
            None => {
                return Err(unknown(&format!("the file begins with {:02x?}", &start[..start.len().min(16)])));
            }
        }
        Err(unknown("this is a single image; give the folder that holds it"))
    }
}

/// `train-images-idx3-ubyte.gz` -> `train-labels-idx1-ubyte.gz`, with or without `.gz`.
fn labels_beside(images: &Path) -> Option<PathBuf> {
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

/// The sub-folders of a folder that holds nothing but the parts of a set, `train` among them.
fn parts(path: &Path) -> Option<Vec<PathBuf>> {
    let visible = |entry: &PathBuf| !entry.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
    let entries = std::fs::read_dir(path).ok()?.filter_map(|e| Some(e.ok()?.path())).filter(visible);
    let folders: Vec<PathBuf> = entries.filter(|p| p.is_dir()).collect();
    let is_part = |p: &PathBuf| ["train", "test", "val", "valid"].iter().any(|name| p.ends_with(name));
    let all =
        folders.len() > 1 && folders.iter().all(is_part) && folders.iter().any(|p| p.ends_with("train"));
    all.then_some(folders)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, split) = match self {
            Self::Embedded { split } => ("fashion-mnist".into(), *split),
            Self::Idx { images, .. } => (images.display().to_string(), Split::Train),
            Self::Cifar { path } | Self::Folder { path } => (path.display().to_string(), Split::Train),
            Self::Npz { path, split } => (path.display().to_string(), *split),
        };
        let part = if split == Split::Test { ":test" } else { "" };
        write!(f, "{name}{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder with the given files, each with the given first bytes.
    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn detect(path: &Path) -> Result<Source, DatasetError> {
        Source::detect(path.to_str().unwrap())
    }

    const IDX3: &[u8] = &[0, 0, 8, 3];
    const IDX1: &[u8] = &[0, 0, 8, 1];

    #[test]
    fn mnist_folders_find_both_parts_and_their_labels() {
        let dir = folder(&[
            ("train-images-idx3-ubyte.gz", &[0x1f, 0x8b]),
            ("train-labels-idx1-ubyte", IDX1),
            ("t10k-images-idx3-ubyte", IDX3),
        ]);
        let at = |name: &str| dir.path().join(name);
        let train = Source::Idx {
            images: at("train-images-idx3-ubyte.gz"),
            labels: Some(at("train-labels-idx1-ubyte")),
        };
        assert_eq!(detect(dir.path()).unwrap(), train);
        assert_eq!(detect(&at("train-images-idx3-ubyte.gz")).unwrap(), train);
        let test = Source::detect(&format!("{}:test", dir.path().display())).unwrap();
        assert_eq!(test, Source::Idx { images: at("t10k-images-idx3-ubyte"), labels: None });
        assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
    }

    #[test]
    fn a_test_part_alone_is_taken_when_asked_for() {
        for name in ["t10k-images-idx3-ubyte", "test_batch.bin"] {
            let dir = folder(&[(name, IDX3)]);
            assert!(detect(dir.path()).unwrap_err().to_string().contains(":test"), "{name}");
            Source::detect(&format!("{}:test", dir.path().display())).unwrap();
        }
    }

    #[test]
    fn cifar_folders_and_files() {
        let dir = folder(&[("cifar-10-batches-bin/data_batch_1.bin", &[0; 3073]), ("x.bin", &[0; 3073])]);
        let inner = dir.path().join("cifar-10-batches-bin");
        assert_eq!(detect(dir.path()).unwrap(), Source::Cifar { path: inner.clone() });
        assert_eq!(detect(&inner).unwrap(), Source::Cifar { path: inner });
        let file = dir.path().join("x.bin");
        assert_eq!(detect(&file).unwrap(), Source::Cifar { path: file });
        let pickles = folder(&[("data_batch_1", b"\x80\x02")]);
        assert!(detect(pickles.path()).unwrap_err().to_string().contains("binary version"));
    }

    #[test]
    fn arrays_by_content_not_by_name() {
        let dir = folder(&[("a.dat", b"\x93NUMPY\x01\x00"), ("b", b"PK\x03\x04")]);
        for name in ["a.dat", "b"] {
            let path = dir.path().join(name);
            assert_eq!(detect(&path).unwrap(), Source::Npz { path: path.clone(), split: Split::Train });
            let spec = format!("{}:test", path.display());
            assert_eq!(Source::detect(&spec).unwrap().to_string(), spec);
        }
    }

    #[test]
    fn folders_of_images_and_their_parts() {
        let dir = folder(&[("train/a/1.png", b"x"), ("test/a/1.png", b"x"), (".hidden/x", b"x")]);
        assert_eq!(detect(dir.path()).unwrap(), Source::Folder { path: dir.path().join("train") });
        let test = Source::detect(&format!("{}:test", dir.path().display())).unwrap();
        assert_eq!(test, Source::Folder { path: dir.path().join("test") });
        let classes = folder(&[("cat/1.png", b"x"), ("train/1.png", b"x")]);
        assert_eq!(detect(classes.path()).unwrap(), Source::Folder { path: classes.path().to_owned() });
        assert!(Source::detect(&format!("{}:test", classes.path().display())).is_err());
    }

    #[test]
    fn anything_else_says_what_is_accepted() {
        let dir = folder(&[("a.txt", b"hello"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("empty", b"")]);
        for (name, reason) in
            [("a.txt", "begins with"), ("a.png", "single image"), ("empty", "is empty"), ("no", "no such")]
        {
            let error = detect(&dir.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("fashion-mnist"), "{error}");
        }
    }
}
