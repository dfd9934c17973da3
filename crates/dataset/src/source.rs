//! Identifies the data that a user names: finds the files and recognises their content.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cifar_files::{PICKLES, is_binary, is_pickled};
use crate::containers::{CONTAINER_START, container};
use crate::error::DatasetError;
use crate::idx::GZIP_MAGIC;
use crate::image_format::unread_format;
use crate::kind_of_file::FileKind;
use crate::known_files::{known_files, labels_beside};
use crate::limits::open_regular;
use crate::npz::Npz;
use crate::shard_names::{expand, in_folder, is_shard_pattern};
use crate::split::Split;
use crate::tables;
use crate::tar::{first_name, may_be_empty};

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
    /// The same as the tar archive that is downloaded, gzipped or not.
    CifarArchive {
        /// The archive.
        path: PathBuf,
        /// Training or test part.
        split: Split,
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
    /// Tar archives of images in WebDataset's layout, or of folders of images.
    Shards {
        /// One archive, a folder of them, or a pattern such as `train-{000..146}.tar`.
        path: PathBuf,
        /// As for a folder; names such as `photos-test-000.tar` are parts too.
        split: Option<Split>,
    },
    /// Parquet files with a column of encoded images. Opening them needs the feature `parquet`.
    Parquet {
        /// One file, or a folder of them.
        path: PathBuf,
        /// The part, by the names of the files, such as `train-00000-of-00005.parquet`. `None` uses the training part if
        /// names have parts, else everything.
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
        if !path.exists() && is_shard_pattern(bare) {
            let shards = expand(bare).map_err(|reason| unknown(&reason))?;
            return match shards.iter().find(|shard| !shard.is_file()) {
                Some(missing) => Err(unknown(&format!("there is no file {}", missing.display()))),
                None => Ok(Self::Shards { path: path.to_owned(), split }),
            };
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
        if let Some(source) = known_files(path, asked) {
            return Ok(source);
        }
        // What is in a folder may be the download itself.
        for name in ["cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"] {
            let archive = path.join(name);
            if archive.is_file() {
                return Self::detect_file(&archive, split, unknown);
            }
        }
        let pickled = ["data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"];
        let pickled = pickled.into_iter().chain(["cifar-100-python", "cifar-100-python.tar.gz"]);
        if pickled.into_iter().any(|name| path.join(name).exists()) {
            return Err(unknown(PICKLES));
        }
        // The file names searched so far belong to a single part.
        let found: Vec<Split> =
            Split::ALL.into_iter().filter(|part| known_files(path, *part).is_some()).collect();
        if !found.is_empty() {
            return Err(DatasetError::NoPart { file: path.display().to_string(), asked, found });
        }
        // What is wrong with a folder that cannot be listed is reported when it is opened.
        if matches!(in_folder(path, "tar"), Ok(Some(_))) {
            return Ok(Self::Shards { path: path.to_owned(), split });
        }
        if matches!(in_folder(path, tables::ENDING), Ok(Some(_))) {
            return Ok(Self::Parquet { path: path.to_owned(), split });
        }
        Ok(Self::Folder { path: path.to_owned(), split })
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
        match first_name(&start) {
            Some(name) if is_pickled(&name) => return Err(unknown(PICKLES)),
            Some(name) if is_binary(&name) => return Self::cifar_archive(path, split),
            // A gzipped one has no places to read from.
            Some(_) if !start.starts_with(&GZIP_MAGIC) => {
                return Ok(Self::Shards { path: path.to_owned(), split });
            }
            // Opening it says that it has no images.
            None if may_be_empty(path, &start, length) => {
                return Ok(Self::Shards { path: path.to_owned(), split });
            }
            _ => {}
        }
        if start.starts_with(tables::MAGIC) {
            return Ok(Self::Parquet { path: path.to_owned(), split });
        }
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

    /// The download of CIFAR, which has no validation part.
    fn cifar_archive(path: &Path, split: Option<Split>) -> Result<Self, DatasetError> {
        match split.unwrap_or_default() {
            asked @ Split::Validation => {
                let found = vec![Split::Train, Split::Test];
                Err(DatasetError::NoPart { file: path.display().to_string(), asked, found })
            }
            split => Ok(Self::CifarArchive { path: path.to_owned(), split }),
        }
    }
}

/// Whether a zip archive contains arrays. One that cannot be read is left to the array reader to explain.
fn holds_arrays(path: &Path) -> bool {
    Npz::open(path).map_or(true, |npz| npz.names().next().is_some())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, split) = match self {
            Self::Embedded { split } => {
                (Path::new("fashion-mnist"), Some(*split).filter(|s| *s != Split::Train))
            }
            Self::Idx { images, .. } => (images.as_path(), None),
            Self::Cifar { path } => (path.as_path(), None),
            Self::CifarArchive { path, split } => {
                (path.as_path(), Some(*split).filter(|s| *s != Split::Train))
            }
            Self::Folder { path, split }
            | Self::Zip { path, split }
            | Self::Shards { path, split }
            | Self::Parquet { path, split }
            | Self::Npz { path, split } => (path.as_path(), *split),
        };
        write!(f, "{}", path.display())?;
        split.map_or(Ok(()), |split| write!(f, ":{split}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::tests::{gzip, tar};
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
        for name in ["data_batch_1", "cifar-10-python.tar.gz", "cifar-100-python/train"] {
            let pickles = folder(&[(name, b"\x80\x02")]);
            let error = detect(pickles.path()).unwrap_err().to_string();
            assert!(error.contains("binary version, cifar-10-binary.tar.gz"), "{name}: {error}");
        }
    }

    #[test]
    fn cifar_as_it_is_downloaded() {
        let archive = gzip(&tar("cifar-10-batches-bin/", &[("data_batch_1.bin", &[0; 3073])]));
        let dir = folder(&[("cifar-10-binary.tar.gz", &archive), ("other-name", &archive)]);
        for path in
            [dir.path().to_owned(), dir.path().join("cifar-10-binary.tar.gz"), dir.path().join("other-name")]
        {
            let train = detect(&path).unwrap();
            let Source::CifarArchive { split: Split::Train, .. } = train else { panic!("{train:?}") };
            let spec = format!("{}:test", path.display());
            let test = Source::detect(&spec).unwrap();
            assert!(matches!(test, Source::CifarArchive { split: Split::Test, .. }), "{test:?}");
            assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
            let error = Source::detect(&format!("{}:validation", path.display())).unwrap_err().to_string();
            assert!(error.contains("found train and test"), "{error}");
        }
        let dir = folder(&[
            ("python", &gzip(&tar("cifar-10-batches-py/", &[("data_batch_1", b"\x80\x02")]))),
            ("photos", &gzip(&tar("photos/", &[("1.png", b"\x89PNG")]))),
        ]);
        let fail = |name: &str| detect(&dir.path().join(name)).unwrap_err().to_string();
        assert!(fail("python").contains("Python pickles, which are never read; use the binary version"));
        assert!(fail("photos").contains("a gzipped tar archive; unpack it"));
    }

    #[test]
    fn shards_are_a_file_a_folder_or_a_pattern() {
        let shard = tar("./", &[("1.png", b"\x89PNG")]);
        let dir = folder(&[("a-0.tar", &shard), ("a-1.tar", &shard), ("sizes.json", b"{}"), ("other", b"x")]);
        let pattern = dir.path().join("a-{0..1}.tar");
        for path in [dir.path().to_owned(), dir.path().join("a-0.tar"), pattern] {
            assert_eq!(detect(&path).unwrap(), Source::Shards { path: path.clone(), split: None });
            let test = Source::detect(&format!("{}:test", path.display())).unwrap();
            assert_eq!(test, Source::Shards { path, split: Some(Split::Test) });
            assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
        }
        for (name, reason) in [
            ("a-{0..2}.tar", "there is no file"),
            ("a-{1..0}.tar", "is empty"),
            ("a-{x..1}.tar", "ranges such as"),
        ] {
            let error = detect(&dir.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        // An archive without files is recognised by its name; zeros with another name are anything.
        for (name, length) in [("none.tar", 1024), ("none.TAR", 10_240)] {
            let dir = folder(&[(name, &vec![0; length])]);
            let path = dir.path().join(name);
            assert_eq!(detect(&path).unwrap(), Source::Shards { path, split: None });
        }
        for (name, length) in [("none", 1024), ("none.tar", 1000), ("none.tar", 512)] {
            let dir = folder(&[(name, &vec![0; length])]);
            assert!(detect(&dir.path().join(name)).is_err(), "{name} {length}");
        }
        // Beside images or folders, archives are not the dataset.
        let dir = folder(&[("a.tar", &shard), ("b/1.png", b"x")]);
        assert!(matches!(detect(dir.path()).unwrap(), Source::Folder { .. }));
    }

    #[test]
    fn parquet_is_a_file_or_a_folder() {
        let dir = folder(&[("a.parquet", b"PAR1"), ("b.parquet", b"PAR1"), ("other", b"PAR1")]);
        for path in [dir.path().to_owned(), dir.path().join("other")] {
            assert_eq!(detect(&path).unwrap(), Source::Parquet { path: path.clone(), split: None });
            let test = Source::detect(&format!("{}:test", path.display())).unwrap();
            assert_eq!(test, Source::Parquet { path, split: Some(Split::Test) });
            assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
        }
        // Beside images they are not the dataset.
        let dir = folder(&[("a.parquet", b"PAR1"), ("1.png", b"x")]);
        assert!(matches!(detect(dir.path()).unwrap(), Source::Folder { .. }));
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
