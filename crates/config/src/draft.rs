//! Derives settings from the images: the default preset, levels and attention, and whether network and images fit
//! together.

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::network::UNetConfig;
use crate::reference::expected;
use crate::run::{Config, MAX_SIDE};

/// Properties of the images that the network depends on, after `data.size` and `data.channels` are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Number of classes; 0 without labels.
    pub classes: usize,
}

impl ImageShape {
    /// The default preset for these images.
    pub(crate) fn preset(&self) -> &'static str {
        if (self.height, self.width, self.channels) == (28, 28, 1) { "fashion-28" } else { "images" }
    }

    /// The longer side.
    fn side(&self) -> usize {
        self.height.max(self.width)
    }

    /// The same images with a border to multiples of `multiple` pixels.
    pub(crate) fn padded(self, multiple: usize) -> Result<Self, ConfigError> {
        if self.side() > MAX_SIDE {
            return Err(ConfigError::value(
                "data",
                "size",
                self.side(),
                format!("at most {MAX_SIDE} pixels"),
            ));
        }
        if !(1..=1024).contains(&multiple) {
            return Err(ConfigError::value(
                "data",
                "pad_to_multiple",
                multiple,
                expected("data", "pad_to_multiple"),
            ));
        }
        Ok(Self {
            height: self.height.next_multiple_of(multiple),
            width: self.width.next_multiple_of(multiple),
            ..self
        })
    }
}

/// The images with the border that the configuration explicitly asks for, by `data.pad_to_multiple` or a larger
/// `model.image_size`. An invalid border is reported later.
pub(crate) fn bordered(table: &Table, images: &ImageShape) -> ImageShape {
    let number = |group: &str, key: &str| {
        let value = table.get(group).and_then(|group| group.get(key)).and_then(Value::as_integer);
        value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0)
    };
    let larger = number("model", "image_size").filter(|&size| size > images.side());
    let multiple = number("data", "pad_to_multiple").or(larger);
    multiple.and_then(|multiple| images.padded(multiple).ok()).unwrap_or(*images)
}

/// Fills in levels and attention if the preset derives them from the image size.
pub(crate) fn complete_model(table: &mut Table, images: &ImageShape) -> Result<(), ConfigError> {
    let Some(model) = table.get_mut("model").and_then(Value::as_table_mut) else {
        return Err(ConfigError::NoModel);
    };
    let size = images.side();
    // Halve until at most 8 pixels are left: three levels for 28 or 32, four for 64.
    let levels = (1..6).find(|level| size.div_ceil(1 << level) <= 8).map_or(6, |level| level + 1).min(5);
    let mults = model
        .entry("channel_mults")
        .or_insert_with(|| numbers((0..levels).map(|level| if level == 0 { 1 } else { 2 })));
    let levels = mults.as_array().map_or(0, Vec::len).clamp(1, 16);
    let factor = 1_usize << (levels - 1);
    // A size without a next multiple is refused later, like any other impossible size.
    let padded = size.checked_next_multiple_of(factor).unwrap_or(size);
    model.entry("attention_resolutions").or_insert_with(|| numbers([padded / factor]));
    // As many numbers as base channels, like diffusers' networks, so that the network exports to it.
    let channels = model.get("base_channels").cloned();
    if let (Some(channels), Some(embedding)) =
        (channels, model.get_mut("embedding").and_then(Value::as_table_mut))
        && embedding.get("kind").and_then(Value::as_str) == Some("transformer")
    {
        embedding.entry("dim").or_insert(channels);
    }
    Ok(())
}

fn numbers(list: impl IntoIterator<Item = usize>) -> Value {
    Value::Array(list.into_iter().map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))).collect())
}

/// The multiple to which the images are padded. A network for larger images gets these in a border, for example 28
/// pixels in 32.
pub(crate) fn border_multiple(model: &UNetConfig, images: &ImageShape) -> usize {
    let size = model.image_size;
    if size > images.side() { size } else { model.downsampling_factor() }
}

impl Config {
    /// Fills in the model keys that follow from the padded image size, and checks that the network fits the images.
    pub(crate) fn settle_model(&mut self, padded: &ImageShape) -> Result<(), ConfigError> {
        let model = &mut self.model;
        let ImageShape { height, width, channels, .. } = *padded;
        if model.image_size == 0 {
            model.image_size = padded.side();
        }
        // A run's file states the resolved values, not the placeholders.
        model.time_channels = model.time_width();
        model.augmented |= self.train.augment > 0.0;
        if model.in_channels == 0 {
            model.in_channels = channels;
        }
        // A preset that sets the channels does not account for a learned variance.
        let learned = self.train.outputs_per_channel();
        if model.out_channels == 0 || model.out_channels == model.in_channels {
            model.out_channels = model.in_channels.saturating_mul(learned);
        }
        let (size, in_channels) = (model.image_size, model.in_channels);
        if size != padded.side() || in_channels != channels {
            return Err(ConfigError::Images { height, width, channels, size, in_channels });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::preset_table;

    fn square(side: usize) -> ImageShape {
        ImageShape { height: side, width: side, channels: 1, classes: 0 }
    }

    #[test]
    fn levels_and_attention_follow_the_size() {
        let model = |side| {
            let mut table = preset_table("images").unwrap();
            complete_model(&mut table, &square(side)).unwrap();
            let list = |key| {
                table["model"][key].as_array().unwrap().iter().map(|n| n.as_integer().unwrap()).collect()
            };
            let lists: (Vec<i64>, Vec<i64>) = (list("channel_mults"), list("attention_resolutions"));
            lists
        };
        assert_eq!(model(0), (vec![1, 2], vec![0]));
        assert_eq!(model(16), (vec![1, 2], vec![8]));
        assert_eq!(model(28), (vec![1, 2, 2], vec![7]));
        assert_eq!(model(30), (vec![1, 2, 2], vec![8]));
        assert_eq!(model(64), (vec![1, 2, 2, 2], vec![8]));
        assert_eq!(model(256), (vec![1, 2, 2, 2, 2], vec![16]));
        assert_eq!(model(usize::MAX).0, [1, 2, 2, 2, 2]);
        assert!(matches!(complete_model(&mut Table::new(), &square(8)), Err(ConfigError::NoModel)));
    }

    #[test]
    fn attention_follows_the_border_that_is_asked_for() {
        let table = |text: &str| {
            let mut table = preset_table("images").unwrap();
            crate::overrides::merge(&mut table, toml::from_str(text).unwrap());
            let shape = bordered(&table, &ImageShape { height: 13, width: 19, channels: 3, classes: 0 });
            complete_model(&mut table, &shape).unwrap();
            table["model"]["attention_resolutions"][0].as_integer().unwrap()
        };
        assert_eq!((table(""), table("[data]\npad_to_multiple = 8")), (5, 6));
        assert_eq!(table("[model]\nimage_size = 32"), 8);
        assert_eq!(table("[data]\npad_to_multiple = 0"), 5);
    }

    #[test]
    fn a_border_is_checked() {
        assert_eq!(square(28).padded(8).unwrap(), square(32));
        assert!(square(28).padded(0).is_err());
        assert!(square(usize::MAX).padded(8).is_err());
    }
}
