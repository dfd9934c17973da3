//! Limits the sizes that a run's configuration may request. A small network runs on images of any size, so a
//! configuration from elsewhere could ask for more memory than there is.

use crate::error::ConfigError;
use crate::network::UNetConfig;
use crate::run::{Config, ImagesConfig};

/// Image values that are allowed for any network: 512x512 grey.
const FREE_NUMBERS: u64 = 1 << 18;

/// Maximum pixels of a level with attention, whose cost is quadratic in them: 128x128.
const ATTENDED_PIXELS: usize = 1 << 14;

impl Config {
    /// Checks that the images have the shape for which the network was made, as in every run.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the height, the width or the channels.
    pub fn check_images(&self) -> Result<(), ConfigError> {
        let Some(images) = &self.images else { return Ok(()) };
        let (model, side) = (&self.model, images.height.max(images.width));
        if side != model.image_size {
            let field = if images.height >= images.width { "height" } else { "width" };
            let expected = format!("model.image_size, {}", model.image_size);
            return Err(ConfigError::value("images", field, side, expected));
        }
        if images.channels != model.in_channels {
            let expected = format!("model.in_channels, {}", model.in_channels);
            return Err(ConfigError::value("images", "channels", images.channels, expected));
        }
        Ok(())
    }

    /// Checks that the images are not implausibly large for the number of weights.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for images with more values than the network has weights and more than 2^18, or with
    /// attention over more than 128x128 pixels.
    pub fn check_sizes(&self) -> Result<(), ConfigError> {
        let Some(images) = &self.images else { return Ok(()) };
        let numbers =
            (images.height as u64).saturating_mul(images.width as u64).saturating_mul(images.channels as u64);
        let most = FREE_NUMBERS.max(self.model.parameter_count());
        if numbers > most {
            let expected =
                format!("at most {most} numbers per image for the {} weights", self.model.parameter_count());
            return Err(too_large(images, numbers, &expected));
        }
        let attended = attended_pixels(&self.model, images);
        if attended > ATTENDED_PIXELS {
            return Err(too_large(
                images,
                numbers,
                &format!("attention over at most {ATTENDED_PIXELS} pixels"),
            ));
        }
        Ok(())
    }
}

fn too_large(images: &ImagesConfig, numbers: u64, expected: &str) -> ConfigError {
    let got = format!("{}x{}x{} ({numbers} numbers)", images.width, images.height, images.channels);
    ConfigError::value("images", "height", got, format!("{expected}; pass --any-size if this is intended"))
}

/// Pixels of the largest level with attention.
fn attended_pixels(model: &UNetConfig, images: &ImagesConfig) -> usize {
    let levels = model.levels();
    let attends = |level: &usize| model.has_attention(*level) || (model.mid_attention && level + 1 == levels);
    // Levels and sides are already checked: at most 8 and 2^16.
    let pixels = |level: usize| (images.height >> level.min(31)) * (images.width >> level.min(31));
    (0..levels).filter(attends).map(pixels).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_toml;

    fn config() -> Config {
        from_toml(include_str!("../tests/old_runs/tiny-16.toml")).unwrap()
    }

    fn of_side(side: usize, channels: usize) -> Config {
        let mut config = config();
        config.images = Some(ImagesConfig::square(side, channels));
        (config.model.image_size, config.model.in_channels, config.model.out_channels) =
            (side, channels, channels);
        config.model.attention_resolutions = Vec::new();
        config.model.mid_attention = false;
        config
    }

    #[test]
    fn images_must_have_the_networks_shape() {
        config().check_images().unwrap();
        for field in ["height", "width", "channels"] {
            let mut config = config();
            let images = config.images.as_mut().unwrap();
            match field {
                "height" => images.height = 4096,
                "width" => images.width = 4096,
                _ => images.channels = 3,
            }
            let message = config.check_images().unwrap_err().to_string();
            assert!(message.starts_with(&format!("images.{field} = ")), "{message}");
        }
        let mut wide = of_side(64, 1);
        wide.images.as_mut().unwrap().height = 16;
        wide.check_images().unwrap();
    }

    #[test]
    fn huge_images_are_refused_for_a_small_network() {
        for (side, channels) in [(16, 1), (256, 3), (512, 1)] {
            of_side(side, channels).check_sizes().unwrap();
        }
        for (side, channels) in [(512, 3), (1024, 1), (4096, 1), (65_536, 3)] {
            let message = of_side(side, channels).check_sizes().unwrap_err().to_string();
            assert!(message.contains("--any-size"), "{message}");
        }
        let mut large = of_side(1024, 3);
        (large.model.base_channels, large.model.channel_mults) = (256, vec![1, 2, 4]);
        large.check_sizes().unwrap();
        let mut attentive = of_side(256, 1);
        attentive.model.attention_resolutions = vec![256];
        assert!(attentive.check_sizes().unwrap_err().to_string().contains("attention"));
    }
}
