//! Opens the images of a `[data]` group.

use std::path::Path;
use std::{fs, io};

use config::{BadImages, Config, ConfigError, DataConfig, ImageFit};
use dataset::{Dataset, Fit, OnBad, OpenOptions, Order, Size, Source, Split, is_shard_pattern};

use crate::error::DataError;

/// Opens the images. `cache_dir` is where decoded images are kept for the next start. Labels that cannot be used are
/// dropped.
///
/// # Errors
/// The first problem with the settings or the files.
pub fn open(data: &DataConfig, cache_dir: Option<&Path>) -> Result<Dataset, DataError> {
    open_with(data, cache_dir, false)
}

/// Like [`open`], but labels that cannot be used are an error if they are required.
pub(crate) fn open_with(
    data: &DataConfig,
    cache_dir: Option<&Path>,
    labels_required: bool,
) -> Result<Dataset, DataError> {
    let options = OpenOptions {
        size: data.size.map(|size| Size { height: size.height, width: size.width }),
        channels: data.channels,
        fit: match data.fit()? {
            ImageFit::Crop => Fit::Crop,
            ImageFit::Stretch => Fit::Stretch,
            ImageFit::Pad => Fit::Pad,
        },
        pad_to_multiple: data.pad_to_multiple,
        limit: data.limit,
        on_bad: match data.on_bad()? {
            BadImages::Fail => OnBad::Fail,
            BadImages::Skip => OnBad::Skip,
        },
        cache_dir: cache_dir.map(Path::to_owned),
        labels_required,
        unpacked_limit: data.unpacked_limit()?.map(|mib| mib << 20),
        keep_limit: data.memory()?.map(|mib| mib << 20),
        order: order(data)?,
        ..OpenOptions::default()
    };
    let source = Source::detect(&at_home(data)?)?;
    Ok(Dataset::open(&source, &options)?)
}

/// The order of the images in an epoch.
///
/// # Errors
/// [`ConfigError::Value`] for a buffer out of range or without effect.
pub fn order(data: &DataConfig) -> Result<Order, ConfigError> {
    Ok(data.group_images()?.map_or(Order::Images, |buffer| Order::Blocks { buffer }))
}

/// The source with a leading `~` replaced by the home folder.
fn at_home(data: &DataConfig) -> Result<String, DataError> {
    let wrong = |error| DataError::Path { data: data.source.clone(), error };
    let path = files::expand_home(Path::new(&data.source)).map_err(wrong)?;
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        wrong(io::Error::new(io::ErrorKind::InvalidData, "the name of the home folder is not UTF-8"))
    })
}

/// The same options for images in another place, given by its absolute path.
///
/// # Errors
/// [`DataError::Path`] if the path cannot be determined.
pub fn moved(data: &DataConfig, source: &str) -> Result<DataConfig, DataError> {
    located(DataConfig { source: source.to_owned(), ..data.clone() })
}

/// The data with its absolute path: a run resumed from another folder must find it, even if it names a part such as
/// `photos:test`.
pub(crate) fn located(mut data: DataConfig) -> Result<DataConfig, DataError> {
    data.source = at_home(&data)?;
    let (path, part) = Split::of_spec(&data.source);
    if !Path::new(path).exists() && is_shard_pattern(path) {
        let part = part.map(|part| format!(":{part}")).unwrap_or_default();
        if let Some(text) = std::path::absolute(path).ok().as_deref().and_then(Path::to_str) {
            data.source = format!("{text}{part}");
        }
        return Ok(data);
    }
    if Path::new(path).exists() {
        let absolute =
            fs::canonicalize(path).map_err(|error| DataError::Path { data: data.source.clone(), error })?;
        let part = part.map(|part| format!(":{part}")).unwrap_or_default();
        // A parent folder's name may not be UTF-8, and a configuration cannot hold such a name. Then keep what the user
        // wrote: it is valid from this folder.
        let texts = [Some(absolute), std::path::absolute(path).ok()];
        if let Some(text) = texts.iter().flatten().find_map(|path| path.to_str()) {
            data.source = format!("{text}{part}");
        }
    }
    Ok(data)
}

/// Like [`Config::settle_classes`], for opened images. An error also includes the dataset's notes, such as which labels
/// have no images.
///
/// # Errors
/// As for [`Config::settle_classes`].
pub fn settle_labels(config: &mut Config, dataset: &Dataset) -> Result<(), ConfigError> {
    config.settle_classes(dataset.classes()).map_err(|error| with_notes(error, dataset))
}

pub(crate) fn with_notes(error: ConfigError, dataset: &Dataset) -> ConfigError {
    match error {
        ConfigError::TooFewClasses { classes, data, of_data, .. } => {
            ConfigError::TooFewClasses { classes, data, of_data, notes: dataset.notes().to_vec() }
        }
        other => other,
    }
}
