//! Identifies the data that a user names: finds the files and recognises their content.

use std::io::Read;
use std::path::Path;

use super::Source;
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

#[cfg(test)]
mod tests;
