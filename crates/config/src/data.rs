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
    /// How many MiB of decoded images to keep. The images of larger folders, archives and shards are decoded when they
    /// are needed. If absent, half of the available memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The order of the images in an epoch.
    #[serde(default, skip_serializing_if = "DataOrder::is_usual")]
    pub order: DataOrder,
    /// How many images a group of blocks has; only with [`DataOrder::Blocks`]. If absent, 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_buffer: Option<usize>,
}

/// The order of the images in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataOrder {
    /// Random.
    #[default]
    Images,
    /// Random within groups of blocks of neighbouring images.
    Blocks,
}

impl DataOrder {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
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
/// Maximum of [`DataConfig::memory`] in MiB.
const MAX_MEMORY: u64 = 16 << 20;
/// Maximum and default of [`DataConfig::shuffle_buffer`].
const MAX_BUFFER: usize = 10_000_000;
const BUFFER: usize = 10_000;

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

    /// How many MiB of decoded images to keep.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a number out of range.
    pub fn memory(&self) -> Result<Option<u64>, ConfigError> {
        match self.memory {
            Some(mib) if !(1..=MAX_MEMORY).contains(&mib) => {
                Err(ConfigError::value("data", "memory", mib, expected("data", "memory")))
            }
            mib => Ok(mib),
        }
    }

    /// How many images a group of blocks has; `None` if the order has no groups.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a number out of range, or if the order has no groups.
    pub fn group_images(&self) -> Result<Option<usize>, ConfigError> {
        let wrong = |got, expected| Err(ConfigError::value("data", "shuffle_buffer", got, expected));
        match (self.order, self.shuffle_buffer) {
            (_, Some(got)) if !(1..=MAX_BUFFER).contains(&got) => {
                wrong(got, expected("data", "shuffle_buffer"))
            }
            (DataOrder::Images, Some(got)) => wrong(got, "data.order = blocks, or no value".to_owned()),
            (DataOrder::Images, None) => Ok(None),
            (DataOrder::Blocks, images) => Ok(Some(images.unwrap_or(BUFFER))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layers;

    #[test]
    fn a_buffer_belongs_to_blocks() {
        let data = |order, shuffle_buffer| DataConfig {
            order,
            shuffle_buffer,
            ..Layers::default().data_group().unwrap()
        };
        let images = |order, buffer| data(order, buffer).group_images().map_err(|error| error.to_string());
        assert_eq!(images(DataOrder::Images, None), Ok(None));
        assert_eq!(images(DataOrder::Blocks, None), Ok(Some(10_000)));
        assert_eq!(images(DataOrder::Blocks, Some(7)), Ok(Some(7)));
        for (order, buffer, text) in [
            (DataOrder::Images, 7, "data.order = blocks"),
            (DataOrder::Blocks, 0, "1 to 10000000"),
            (DataOrder::Blocks, 10_000_001, "1 to 10000000"),
        ] {
            let error = images(order, Some(buffer)).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn memory_has_a_range() {
        let memory = |memory| DataConfig { memory, ..Layers::default().data_group().unwrap() }.memory();
        assert_eq!(memory(None).unwrap(), None);
        assert_eq!(memory(Some(64)).unwrap(), Some(64));
        assert!(memory(Some(0)).is_err() && memory(Some(u64::MAX)).is_err());
    }
}
