//! The `[data]` group: the user's settings for the images.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::image_size::ImageSize;
use crate::reference::expected;

/// Where the images are, and how they get one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `fashion-mnist`, or a file or folder.
    pub source: String,
    /// Size to resize to: `64` for squares, or width x height such as `"96x64"`. Absent if all images have one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ImageSize>,
    /// 1 for grey, 3 for colour; absent to keep the images' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// How images of other aspect ratios get that of the size: crop, stretch or pad.
    pub fit: String,
    /// Pad height and width with zeros to multiples of this; absent for what the network needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_to_multiple: Option<usize>,
    /// Train on only this many images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What to do about images that cannot be read: fail or skip.
    pub on_bad: String,
    /// How many MiB one array or image of a compressed file may unpack to. If absent, 16 MiB, or 200 times its
    /// compressed size if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked_limit: Option<u64>,
}

/// How images of other aspect ratios get that of [`DataConfig::size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFit {
    /// Take the largest part in the centre.
    Crop,
    /// Scale height and width independently.
    Stretch,
    /// Add a border.
    Pad,
}

/// What to do about images that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadImages {
    /// Fail, after checking all images.
    Fail,
    /// Skip them.
    Skip,
}

/// Maximum of [`DataConfig::unpacked_limit`] in MiB.
const MAX_UNPACKED: u64 = 16 << 10;

impl DataConfig {
    /// The same images without their own border.
    #[must_use]
    pub fn unpadded(&self) -> Self {
        Self { pad_to_multiple: None, ..self.clone() }
    }

    /// How images of other aspect ratios get that of [`DataConfig::size`].
    ///
    /// # Errors
    /// [`ConfigError::Value`] for any other word.
    pub fn fit(&self) -> Result<ImageFit, ConfigError> {
        match self.fit.as_str() {
            "crop" => Ok(ImageFit::Crop),
            "stretch" => Ok(ImageFit::Stretch),
            "pad" => Ok(ImageFit::Pad),
            other => Err(ConfigError::value("data", "fit", format!("{other:?}"), expected("data", "fit"))),
        }
    }

    /// How many MiB a compressed file may unpack to.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a number out of range.
    pub fn unpacked_limit(&self) -> Result<Option<u64>, ConfigError> {
        match self.unpacked_limit {
            Some(mib) if !(1..=MAX_UNPACKED).contains(&mib) => {
                Err(ConfigError::value("data", "unpacked_limit", mib, expected("data", "unpacked_limit")))
            }
            mib => Ok(mib),
        }
    }

    /// What to do about images that cannot be read.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for any other word.
    pub fn on_bad(&self) -> Result<BadImages, ConfigError> {
        match self.on_bad.as_str() {
            "fail" => Ok(BadImages::Fail),
            "skip" => Ok(BadImages::Skip),
            other => {
                Err(ConfigError::value("data", "on_bad", format!("{other:?}"), expected("data", "on_bad")))
            }
        }
    }
}
