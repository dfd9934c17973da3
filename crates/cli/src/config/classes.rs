//! `model.classes`: whether the labels of the data reach the network.

use dataset::Dataset;

use crate::config::Config;
use crate::failure::bail_usage;

impl Config {
    /// Brings `model.classes` to what it stands for and checks it against the data, before a network is made.
    /// Absent or 0, the labels are not used.
    pub(crate) fn settle_classes(&mut self, dataset: &Dataset) -> anyhow::Result<()> {
        let of_data = dataset.classes();
        match self.model.classes {
            // Said in words that there are none: then there are none to drop, whatever the preset says.
            Some(0) => {
                self.model.classes = None;
                self.train.label_dropout = 0.0;
            }
            Some(classes) if of_data == 0 => bail_usage!(
                "model.classes = {classes}: the data ({}) has no labels, as a folder with a sub-folder a class has; pass \
                 --set model.classes=0, the default, to train without",
                self.data.source
            ),
            Some(classes) if classes < of_data => bail_usage!(
                "model.classes = {classes}: the data ({}) has {of_data} classes; pass --set model.classes={of_data}, \
                 or 0, the default, to train without labels",
                self.data.source
            ),
            Some(_) => {}
            None if self.train.label_dropout > 0.0 => {
                let advice = match of_data {
                    0 => "leave it out".to_owned(),
                    n => format!("pass --set model.classes={n} as well, or leave it out"),
                };
                bail_usage!(
                    "train.label_dropout = {}: this network has no classes (model.classes is 0 by default), so there \
                     is no label to drop; {advice}",
                    self.train.label_dropout
                )
            }
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dataset::Dataset;
    use ndarray::Array4;

    use crate::config::{Config, preset_table};

    fn data(labels: Option<Vec<u32>>) -> Dataset {
        Dataset::from_array(Array4::zeros((3, 16, 16, 1)), labels).unwrap()
    }

    fn settled(
        classes: Option<usize>,
        label_dropout: f64,
        labels: Option<Vec<u32>>,
    ) -> anyhow::Result<Config> {
        let mut config: Config = preset_table("tiny-16").unwrap().try_into().unwrap();
        (config.model.classes, config.train.label_dropout) = (classes, label_dropout);
        config.settle_classes(&data(labels))?;
        Ok(config)
    }

    #[test]
    fn zero_and_absent_are_unconditional() {
        for labels in [None, Some(vec![0, 1, 2])] {
            for (classes, label_dropout) in [(None, 0.0), (Some(0), 0.0), (Some(0), 0.1)] {
                let config = settled(classes, label_dropout, labels.clone()).unwrap();
                assert_eq!((config.model.classes, config.train.label_dropout), (None, 0.0));
            }
        }
    }

    #[test]
    fn classes_must_be_those_of_the_data() {
        let labels = || Some(vec![0, 2, 1]);
        for classes in [3, 5] {
            let config = settled(Some(classes), 0.1, labels()).unwrap();
            assert_eq!((config.model.classes, config.train.label_dropout), (Some(classes), 0.1));
        }
        let message = |classes, dropout, labels| settled(classes, dropout, labels).unwrap_err().to_string();
        assert!(message(Some(2), 0.0, labels()).contains("--set model.classes=3"));
        assert!(message(Some(3), 0.0, None).contains("has no labels"));
        assert!(message(None, 0.1, labels()).contains("--set model.classes=3"));
        assert!(message(None, 0.1, None).contains("leave it out"));
    }
}
