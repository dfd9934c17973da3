//! The networks of the presets.

use toml::{Table, Value};

use super::shape::UNetConfig;
use crate::draft::ImageShape;
use crate::error::ConfigError;
use crate::layers::Layers;
use crate::presets::preset_table;

impl UNetConfig {
    /// The network of a preset in [`crate::PRESETS`], for the images that it names, or for 28x28 grey images.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPreset`] with the known names.
    ///
    /// ```
    /// let paper = config::UNetConfig::preset("ddpm-cifar10")?;
    /// assert_eq!((paper.image_size, paper.in_channels, paper.base_channels), (32, 3, 128));
    /// # Ok::<(), config::ConfigError>(())
    /// ```
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let table = preset_table(name)?;
        let side = number(&table, "model", "image_size").or(number(&table, "data", "size")).unwrap_or(28);
        let channels = number(&table, "model", "in_channels").unwrap_or(1);
        Self::for_images(name, (side, side, channels))
    }

    /// The network of a preset for images of any `(height, width, channels)`, as `dataset::Dataset::shape` returns them.
    /// The preset `images` also chooses the levels and the attention by their size. Sides that are no multiples of
    /// [`UNetConfig::downsampling_factor`] need a border; `image_size` includes it.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPreset`] with the known names; [`ConfigError::Images`] for a preset with another fixed size;
    /// [`ConfigError::Value`] for sizes that no network takes.
    ///
    /// ```
    /// let network = config::UNetConfig::for_images("images", (64, 64, 3))?;
    /// assert_eq!((network.in_channels, network.channel_mults), (3, vec![1, 2, 2, 2]));
    /// # Ok::<(), config::ConfigError>(())
    /// ```
    pub fn for_images(
        preset: &str,
        (height, width, channels): (usize, usize, usize),
    ) -> Result<Self, ConfigError> {
        let classes = number(&preset_table(preset)?, "model", "classes").unwrap_or(0);
        let images = ImageShape { height, width, channels, classes };
        Ok(Layers { preset: Some(preset), ..Layers::default() }.settle(&images)?.model)
    }
}

/// A number of a preset, if it has that key.
fn number(preset: &Table, group: &str, key: &str) -> Option<usize> {
    let value = preset.get(group)?.get(key).and_then(Value::as_integer)?;
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_a_network() {
        for (name, _, _) in crate::PRESETS {
            UNetConfig::preset(name).unwrap().validate().unwrap();
        }
        let error = UNetConfig::preset("nope").unwrap_err().to_string();
        assert!(error.contains("ddpm-cifar10") && error.contains("nope"), "{error}");
    }

    #[test]
    fn a_preset_takes_the_shape_of_the_images() {
        let network = UNetConfig::for_images("images", (48, 30, 3)).unwrap();
        // Four levels, so sides are multiples of 8; the attention is at the lowest.
        assert_eq!((network.image_size, network.in_channels, network.out_channels), (48, 3, 3));
        assert_eq!((network.downsampling_factor(), network.attention_resolutions), (8, vec![6]));
        for (name, _, _) in crate::PRESETS {
            let preset = UNetConfig::preset(name).unwrap();
            let shape = (preset.image_size, preset.image_size, preset.in_channels);
            assert_eq!(UNetConfig::for_images(name, shape).unwrap(), preset, "{name}");
        }
    }

    #[test]
    fn images_that_no_network_takes_are_refused() {
        let refused = |preset, shape| UNetConfig::for_images(preset, shape).unwrap_err();
        assert!(matches!(refused("small-32", (64, 64, 1)), ConfigError::Images { size: 32, .. }));
        assert!(matches!(refused("ddpm-cifar10", (32, 32, 1)), ConfigError::Images { in_channels: 3, .. }));
        for shape in [(0, 0, 3), (64, 64, 0), (usize::MAX, 64, 3), (64, usize::MAX, 3)] {
            assert!(matches!(refused("images", shape), ConfigError::Value { .. }), "{shape:?}");
        }
        assert!(matches!(refused("nope", (64, 64, 3)), ConfigError::UnknownPreset { .. }));
    }
}
