//! `--data`: an exported file names other images than those of the run, such as public ones that everyone has.

use anyhow::Context;

use crate::config::{self, Config};
use crate::failure::wrong_data;

/// The configuration with the place of these images, and their class names. They must be what the network draws: images of its
/// size, with as many classes. The number and the hash of the training images stay.
pub(super) fn recorded(config: &Config, source: &str) -> anyhow::Result<Config> {
    let mut config = config.clone();
    source.clone_into(&mut config.data.source);
    config.data.limit = None;
    let data = config::open(&config.data.unpadded())?;
    let images = config.images.as_mut().context("the model has no [images] group")?;
    let (expected, found) = (images.inner_shape(), data.shape());
    if expected != found {
        let text = |(height, width, channels): (usize, usize, usize)| format!("{width}x{height}x{channels}");
        return Err(wrong_data(format!(
            "--data {source}: expected images of {} like those of the network, found {}",
            text(expected),
            text(found)
        )));
    }
    if let Some(classes) = config.model.classes {
        let names = data.class_names();
        if names.len() != classes {
            return Err(wrong_data(format!(
                "--data {source}: expected {classes} classes like those of the network, found {}",
                names.len()
            )));
        }
        images.class_names = names.to_vec();
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ImagesConfig;

    fn of_network(side: usize, classes: usize) -> Config {
        let table = config::preset_table("fashion-28-classes").unwrap();
        let mut config = table.try_into::<Config>().unwrap_or_else(|error| panic!("{error}"));
        config.data.source = "somewhere/private".to_owned();
        config.data.limit = Some(7);
        config.model.classes = Some(classes);
        let names = (0..classes).map(|class| class.to_string()).collect();
        let known = ("ab".repeat(32), 60_000);
        config.images = Some(ImagesConfig {
            sha256: known.0,
            count: known.1,
            class_names: names,
            ..ImagesConfig::square(side, 1)
        });
        config
    }

    #[test]
    fn the_place_is_another_and_the_training_images_are_the_same() {
        let before = of_network(28, 10);
        let after = recorded(&before, "fashion-mnist").unwrap();
        let (was, is) = (before.images.as_ref().unwrap(), after.images.as_ref().unwrap());
        assert_eq!((&*after.data.source, after.data.limit), ("fashion-mnist", None));
        assert_eq!((is.count, &is.sha256), (was.count, &was.sha256));
        assert_eq!(is.class_names[7], "Sneaker");
        assert!(!config::to_toml(&after).unwrap().contains("private"));
    }

    #[test]
    fn images_of_another_kind_are_refused() {
        for (side, classes, words) in [(32, 10, "32x32x1"), (28, 3, "expected 3 classes")] {
            let error = recorded(&of_network(side, classes), "fashion-mnist").unwrap_err().to_string();
            assert!(error.contains("--data fashion-mnist") && error.contains(words), "{error}");
        }
        assert!(recorded(&of_network(28, 10), "no/such/folder").is_err());
    }
}
