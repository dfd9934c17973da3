//! `model.classes`: whether the network uses the labels of the data.

use crate::error::ConfigError;
use crate::run::Config;

impl Config {
    /// Resolves `model.classes` and checks it against the number of classes in the data, which is 0 without labels.
    /// Call it before building a network. If `model.classes` is absent or 0, the labels are not used.
    ///
    /// # Errors
    /// [`ConfigError::NoLabels`], [`ConfigError::TooFewClasses`], [`ConfigError::NothingToDrop`].
    pub fn settle_classes(&mut self, of_data: usize) -> Result<(), ConfigError> {
        let data = || self.data.source.clone();
        match self.model.classes {
            // Classes were explicitly turned off, so there are no labels to drop, whatever the preset says.
            Some(0) => {
                self.model.classes = None;
                self.train.label_dropout = 0.0;
                Ok(())
            }
            Some(classes) if of_data == 0 => Err(ConfigError::NoLabels { classes, data: data() }),
            Some(classes) if classes < of_data => {
                Err(ConfigError::TooFewClasses { classes, data: data(), of_data, notes: Vec::new() })
            }
            None if self.train.label_dropout > 0.0 => {
                Err(ConfigError::NothingToDrop { label_dropout: self.train.label_dropout, of_data })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::preset_table;

    fn settled(classes: Option<usize>, label_dropout: f64, of_data: usize) -> Result<Config, ConfigError> {
        let mut config: Config = preset_table("tiny-16").unwrap().try_into().unwrap();
        (config.model.classes, config.train.label_dropout) = (classes, label_dropout);
        config.settle_classes(of_data)?;
        Ok(config)
    }

    #[test]
    fn zero_and_absent_are_unconditional() {
        for of_data in [0, 3] {
            for (classes, label_dropout) in [(None, 0.0), (Some(0), 0.0), (Some(0), 0.1)] {
                let config = settled(classes, label_dropout, of_data).unwrap();
                assert_eq!((config.model.classes, config.train.label_dropout), (None, 0.0));
            }
        }
    }

    #[test]
    fn classes_must_match_the_data() {
        for classes in [3, 5] {
            let config = settled(Some(classes), 0.1, 3).unwrap();
            assert_eq!((config.model.classes, config.train.label_dropout), (Some(classes), 0.1));
        }
        let message = |classes, dropout, of_data| settled(classes, dropout, of_data).unwrap_err().to_string();
        assert!(message(Some(2), 0.0, 3).contains("--set model.classes=3"));
        assert!(message(Some(3), 0.0, 0).contains("has no labels"));
        assert!(message(None, 0.1, 3).contains("--set model.classes=3"));
        assert!(message(None, 0.1, 0).contains("leave it out"));
    }
}
