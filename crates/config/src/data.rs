//! The `[data]` group: from what the user names to images.

use std::io;
use std::path::Path;

use dataset::{Dataset, DatasetError, Fit, OnBad, OpenOptions, Source};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::suggest::nearest;

/// Where the images are and how they are brought to one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `fashion-mnist`, or a file or folder.
    pub source: String,
    /// Height and width to resize to; absent for images that all have one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// 1 for grey, 3 for colour; absent for what the images are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// How other aspect ratios become square: crop, stretch or pad.
    pub fit: String,
    /// A border of zeros brings height and width to multiples of this; absent for what the network needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_to_multiple: Option<usize>,
    /// Train on so many images only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What to do about images that cannot be read: fail or skip.
    pub on_bad: String,
    /// MiB that one array or image of a compressed file may unpack to; absent for 16 MiB, or 200 times its compressed
    /// size if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked_limit: Option<u64>,
}

/// Most MiB of [`DataConfig::unpacked_limit`].
const MAX_UNPACKED: u64 = 16 << 10;

impl DataConfig {
    /// The same images without a border of their own.
    #[must_use]
    pub fn unpadded(&self) -> Self {
        Self { pad_to_multiple: None, ..self.clone() }
    }

    /// Opens the images. `cache_dir` is where decoded images are kept for the next start. Labels that cannot be used
    /// are left out.
    ///
    /// # Errors
    /// [`ConfigError::Value`], [`ConfigError::DataSource`], [`ConfigError::BadImages`], [`ConfigError::Data`].
    pub fn open(&self, cache_dir: Option<&Path>) -> Result<Dataset, ConfigError> {
        self.open_with(cache_dir, false)
    }

    /// As [`DataConfig::open`]; labels that cannot be used are an error where they are required.
    pub(crate) fn open_with(
        &self,
        cache_dir: Option<&Path>,
        labels_required: bool,
    ) -> Result<Dataset, ConfigError> {
        let options = OpenOptions {
            size: self.size,
            channels: self.channels,
            fit: self.fit()?,
            pad_to_multiple: self.pad_to_multiple,
            limit: self.limit,
            on_bad: self.on_bad()?,
            cache_dir: cache_dir.map(Path::to_owned),
            labels_required,
            unpacked_limit: self.unpacked_limit()?.map(|mib| mib << 20),
            ..OpenOptions::default()
        };
        let source = Source::detect(&self.at_home()?).map_err(explain)?;
        Dataset::open(&source, &options).map_err(explain)
    }

    /// The source with the home folder in place of a leading `~`.
    pub(crate) fn at_home(&self) -> Result<String, ConfigError> {
        let wrong = |error| ConfigError::DataPath { data: self.source.clone(), error };
        let path = files::expand_home(Path::new(&self.source)).map_err(wrong)?;
        path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
            wrong(io::Error::new(io::ErrorKind::InvalidData, "the name of the home folder is not UTF-8"))
        })
    }

    /// How other aspect ratios become square.
    pub(crate) fn fit(&self) -> Result<Fit, ConfigError> {
        match self.fit.as_str() {
            "crop" => Ok(Fit::Crop),
            "stretch" => Ok(Fit::Stretch),
            "pad" => Ok(Fit::Pad),
            other => Err(ConfigError::value("data", "fit", format!("{other:?}"), "crop, stretch or pad")),
        }
    }

    /// MiB that are granted to compressed files.
    pub(crate) fn unpacked_limit(&self) -> Result<Option<u64>, ConfigError> {
        match self.unpacked_limit {
            Some(mib) if !(1..=MAX_UNPACKED).contains(&mib) => {
                Err(ConfigError::value("data", "unpacked_limit", mib, format!("1 to {MAX_UNPACKED} MiB")))
            }
            mib => Ok(mib),
        }
    }

    /// What to do about images that cannot be read.
    pub(crate) fn on_bad(&self) -> Result<OnBad, ConfigError> {
        match self.on_bad.as_str() {
            "fail" => Ok(OnBad::Fail),
            "skip" => Ok(OnBad::Skip),
            other => Err(ConfigError::value("data", "on_bad", format!("{other:?}"), "fail or skip")),
        }
    }
}

/// An error of the data with the flag that it is about, and the one that helps.
pub(crate) fn explain(error: DatasetError) -> ConfigError {
    match error {
        DatasetError::BadOption { option, expected, got } => {
            ConfigError::value("data", option, got, expected)
        }
        DatasetError::UnknownSource { ref spec, .. } => {
            let near = nearest(spec, ["fashion-mnist"]).filter(|near| near != spec);
            let advice = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            ConfigError::DataSource { error, advice }
        }
        DatasetError::NoPart { .. } => ConfigError::DataSource { error, advice: String::new() },
        DatasetError::Inflates { needed, .. } => {
            ConfigError::Unpacks { mib: needed.div_ceil(1 << 20), error: Box::new(error) }
        }
        DatasetError::MixedSizes { .. } => {
            ConfigError::DataSource { error, advice: ": --set data.size=32".to_owned() }
        }
        DatasetError::BadImages { folder, total, reasons } => {
            ConfigError::BadImages { folder, total, reasons }
        }
        error => ConfigError::Data { error },
    }
}
