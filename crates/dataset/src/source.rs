//! Where images come from, as a user names it.

mod detect;

use std::fmt;
use std::path::{Path, PathBuf};

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
