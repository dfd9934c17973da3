//! The networks of the presets.

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
        let number = |group: &str, key: &str| {
            let value = table.get(group).and_then(|group| group.get(key)).and_then(toml::Value::as_integer);
            value.and_then(|value| usize::try_from(value).ok())
        };
        let side = number("model", "image_size").or(number("data", "size")).unwrap_or(28);
        let channels = number("model", "in_channels").unwrap_or(1);
        let classes = number("model", "classes").unwrap_or(0);
        let images = ImageShape { height: side, width: side, channels, classes };
        Ok(Layers { preset: Some(name), ..Layers::default() }.settle(&images)?.model)
    }
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
}
