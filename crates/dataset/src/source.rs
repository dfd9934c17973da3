//! Identifies the data that a user names: finds the files and recognises their content.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::containers::{CONTAINER_START, container};
use crate::error::DatasetError;
use crate::image_format::unread_format;
use crate::kind_of_file::FileKind;
use crate::limits::open_regular;
use crate::npz::Npz;
use crate::split::Split;

/// Where images come from.
///
/// Its `Display` output is a specification that [`Source::detect`] accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The embedded dataset.
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
        /// A batch file, or a folder whose training batches are used.
        path: PathBuf,
    },
    /// A folder of PNG, JPEG, WebP, BMP, GIF and TIFF files, recognised by content; TIFF by its name too.
    Folder {
        /// The folder: a sub-folder for each class, or flat; or one such folder for each part.
        path: PathBuf,
        /// The part to use. `None` uses the training part if there are parts, else everything.
        split: Option<Split>,
    },
    /// The same in a zip archive; images are recognised by their names.
    Zip {
        /// The archive.
        path: PathBuf,
        /// As for a folder.
        split: Option<Split>,
    },
    /// Numpy arrays.
    Npz {
        /// A `.npz` archive, or a `.npy` file of images only.
        path: PathBuf,
        /// The part, for an archive with `x_train` and `x_test` for example. `None` uses the training part, or arrays
        /// such as `images` that do not name a part.
        split: Option<Split>,
    },
}

impl Source {
    /// Recognises `fashion-mnist`, or a file or folder by its content. An appended `:train`, `:validation` or `:test`
    /// selects the part, see [`Split::of_spec`].
    ///
    /// By default the training part is used if there are parts. Whether a folder, an archive or a `.npz` has the part
    /// is checked when it is opened. Write `./fashion-mnist` for your own folder of that name.
    ///
    /// # Errors
    /// [`DatasetError::UnknownSource`] with what is accepted; [`DatasetError::NoPart`]; [`DatasetError::Io`].
    ///
    /// ```
    /// use dataset::{Source, Split};
    /// assert_eq!(Source::detect("fashion-mnist:test")?, Source::Embedded { split: Split::Test });
    /// assert!(Source::detect("fashion-minst").is_err());
    /// # Ok::<(), dataset::DatasetError>(())
    /// ```
    pub fn detect(spec: &str) -> Result<Self, DatasetError> {
        let (bare, split) = Split::of_spec(spec);
        if bare == "fashion-mnist" {
            return Ok(Self::Embedded { split: split.unwrap_or_default() });
        }
        let unknown =
            |reason: &str| DatasetError::UnknownSource { spec: spec.to_owned(), reason: reason.to_owned() };
        let path = Path::new(bare);
        if path.is_dir() {
            return Self::detect_folder(path, split, &unknown);
        }
        if !path.exists() {
            return Err(match bare.rsplit_once(':') {
                Some((before, word)) if Path::new(before).exists() => {
                    unknown(&format!("no part is called {word:?}; the parts are train, validation and test"))
                }
                _ => unknown("there is no such file or folder"),
            });
        }
        let source = Self::detect_file(path, split, &unknown)?;
        match (&source, split) {
            (Self::Idx { .. } | Self::Cifar { .. }, Some(asked)) => {
                Err(DatasetError::NoPart { file: bare.to_owned(), asked, found: Vec::new() })
            }
            _ => Ok(source),
        }
    }

    fn detect_folder(
        path: &Path,
        split: Option<Split>,
        unknown: &dyn Fn(&str) -> DatasetError,
    ) -> Result<Self, DatasetError> {
        let asked = split.unwrap_or_default();
        if let Some(source) = Self::known_files(path, asked) {
            return Ok(source);
        }
        if path.join("data_batch_1").is_file() || path.join("cifar-10-batches-py").is_dir() {
            return Err(unknown(
                "this is CIFAR-10 as Python pickles, which are never read; use the binary version",
            ));
        }
        // The file names searched so far belong to a single part.
        let found: Vec<Split> =
            Split::ALL.into_iter().filter(|part| Self::known_files(path, *part).is_some()).collect();
        if !found.is_empty() {
            return Err(DatasetError::NoPart { file: path.display().to_string(), asked, found });
        }
        Ok(Self::Folder { path: path.to_owned(), split })
    }

    /// IDX or CIFAR files of one part under their usual names.
    fn known_files(path: &Path, part: Split) -> Option<Self> {
        let (idx, cifar) = match part {
            Split::Train => {
                (["train-images-idx3-ubyte", "train-images.idx3-ubyte"], ["data_batch_1.bin", "train.bin"])
            }
            Split::Test => {
                (["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"], ["test_batch.bin", "test.bin"])
            }
            Split::Validation => return None,
        };
        for folder in [path, &path.join("cifar-10-batches-bin"), &path.join("cifar-100-binary")] {
            if let Some(file) = cifar.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
                let whole = part == Split::Train && cifar[0] == file.file_name().unwrap_or_default();
                return Some(Self::Cifar { path: if whole { folder.to_owned() } else { file } });
            }
        }
        // The first is the usual place; the others are where torchvision unpacks them.
        for folder in ["", "raw", "MNIST/raw", "FashionMNIST/raw"].map(|inner| path.join(inner)) {
            let with_gz = |name: &str| [folder.join(name), folder.join(format!("{name}.gz"))];
            if let Some(images) = idx.iter().flat_map(|name| with_gz(name)).find(|file| file.is_file()) {
                let labels = labels_beside(&images);
                return Some(Self::Idx { images, labels });
            }
        }
        None
    }

    fn detect_file(
        path: &Path,
        split: Option<Split>,
        unknown: &dyn Fn(&str) -> DatasetError,
    ) -> Result<Self, DatasetError> {
        let (file, length) = open_regular(path)?;
        let mut start = Vec::new();
        file.take(CONTAINER_START as u64)
            .read_to_end(&mut start)
            .map_err(|e| DatasetError::io(path, "read", e))?;
        if let Some(container) = container(&start) {
            return Err(unknown(&format!("this is {container}")));
        }
        start.truncate(FileKind::START);
        let path = path.to_owned();
        match FileKind::recognise(&start, length) {
            Some(FileKind::Numpy) if start.starts_with(b"PK") && !holds_arrays(&path) => {
                return Ok(Self::Zip { path, split });
            }
            Some(FileKind::Numpy) => return Ok(Self::Npz { path, split }),
            Some(FileKind::Idx) => {
                let labels = labels_beside(&path);
                return Ok(Self::Idx { images: path, labels });
            }
            Some(FileKind::Cifar) => return Ok(Self::Cifar { path }),
            // A supported image format, or another one.
            Some(FileKind::Image) => {}
            None if image::guess_format(&start).is_ok() || unread_format(&start).is_some() => {}
            None if start.is_empty() => return Err(unknown("the file is empty")),
            None => {
                return Err(unknown(&format!("the file begins with {:02x?}", &start[..start.len().min(16)])));
            }
        }
        Err(unknown("this is a single image; give the folder that holds it"))
    }
}

/// Whether a zip archive contains arrays. One that cannot be read is left to the array reader to explain.
fn holds_arrays(path: &Path) -> bool {
    Npz::open(path).map_or(true, |npz| npz.names().next().is_some())
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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, split) = match self {
            Self::Embedded { split } => {
                (Path::new("fashion-mnist"), Some(*split).filter(|s| *s != Split::Train))
            }
            Self::Idx { images, .. } => (images.as_path(), None),
            Self::Cifar { path } => (path.as_path(), None),
            Self::Folder { path, split } | Self::Zip { path, split } | Self::Npz { path, split } => {
                (path.as_path(), *split)
            }
        };
        write!(f, "{}", path.display())?;
        split.map_or(Ok(()), |split| write!(f, ":{split}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder with these files, each with the given first bytes.
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
    fn a_lone_test_part_is_used_if_requested() {
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
            assert_eq!(detect(&path).unwrap(), Source::Npz { path: path.clone(), split: None });
            for part in Split::ALL {
                let spec = format!("{}:{part}", path.display());
                assert_eq!(Source::detect(&spec).unwrap().to_string(), spec);
            }
        }
    }

    #[test]
    fn folders_of_images_with_any_part() {
        let dir = folder(&[("train/a/1.png", b"x"), ("test/a/1.png", b"x")]);
        let path = dir.path().to_owned();
        assert_eq!(detect(&path).unwrap(), Source::Folder { path: path.clone(), split: None });
        let test = Source::detect(&format!("{}:Testing", path.display())).unwrap();
        assert_eq!(test, Source::Folder { path: path.clone(), split: Some(Split::Test) });
        assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
        let error = Source::detect(&format!("{}:tset", path.display())).unwrap_err().to_string();
        assert!(error.contains("no part is called \"tset\""), "{error}");
    }

    #[test]
    fn sources_without_parts_say_so() {
        let dir = folder(&[("a-idx3-ubyte", IDX3), ("x.bin", &[0; 3073])]);
        for name in ["a-idx3-ubyte", "x.bin"] {
            for part in Split::ALL {
                let error =
                    Source::detect(&format!("{}:{part}", dir.path().join(name).display())).unwrap_err();
                assert!(matches!(error, DatasetError::NoPart { .. }), "{error}");
            }
        }
    }

    #[test]
    fn other_containers_say_what_to_do() {
        let dir = folder(&[("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04"), ("a.h5", b"\x89HDF\r\n\x1a\n")]);
        for (name, reason) in [("a.7z", "a 7z archive; unpack it"), ("a.h5", "HDF5")] {
            let error = detect(&dir.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
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
