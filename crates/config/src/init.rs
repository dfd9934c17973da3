//! Starting a run from trained weights: what it takes from the configuration of their network.
//!
//! The weights determine the network and the meaning of its output, so schedule, prediction and learned variance are
//! kept. The new run is free to choose how they are trained. Where nothing is chosen, the loss and the noise levels
//! stay as they were.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::differences::changes;
use crate::draft::ImageShape;
use crate::error::ConfigError;
use crate::run::Config;

/// The weights that a run starts from; not settable by the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// Where they were, as the user wrote it.
    pub from: String,
    /// SHA-256 over names, shapes and values.
    pub sha256: String,
}

/// Keys of `[train]` that define what is learned.
const OBJECTIVE: &[&str] = &[
    "prediction",
    "loss_weight",
    "sigma_data",
    "loss",
    "huber_delta",
    "halvings",
    "variance",
    "vlb_weight",
    "time_sampling",
    "time_mean",
    "time_std",
    "pairing",
];

/// Puts the settings that the weights fix on top of a preset. The preset's classes win if it has any.
pub(crate) fn lay_over(base: &mut Table, source: &Config) -> Result<(), ConfigError> {
    let classes = base.get("model").and_then(|model| model.get("classes")).cloned();
    let mut model = table(&source.model)?;
    if let Some(classes) = classes {
        model.insert("classes".to_owned(), classes);
    }
    // The size comes from the new images.
    model.remove("image_size");
    base.insert("model".to_owned(), Value::Table(model));
    base.insert("schedule".to_owned(), Value::Table(table(&source.schedule)?));

    let mut train = table(&without_usual(source).train)?;
    let of_preset = base.entry("train").or_insert_with(|| Value::Table(Table::new()));
    if let Some(of_preset) = of_preset.as_table_mut() {
        for key in OBJECTIVE {
            of_preset.remove(*key);
            if let Some(value) = train.remove(*key) {
                of_preset.insert((*key).to_owned(), value);
            }
        }
        let more = [("label_dropout", source.model.classes.is_some()), ("augment", source.model.augmented)];
        for (key, wanted) in more {
            if let Some(value) = train.remove(key).filter(|_| wanted && !of_preset.contains_key(key)) {
                of_preset.insert(key.to_owned(), value);
            }
        }
    }
    if let (Some(sample), Some(preferred)) =
        (base.get_mut("sample").and_then(Value::as_table_mut), &source.sample.preferred)
    {
        sample.insert("preferred".to_owned(), Value::Table(table(preferred)?));
    }
    Ok(())
}

/// The configuration without the numbers that follow from its choices: with other choices they would be invalid.
fn without_usual(source: &Config) -> Config {
    let (mut bare, mut out) = (source.train.clone(), source.clone());
    (bare.sigma_data, bare.huber_delta, bare.vlb_weight, bare.halvings) = (None, None, None, None);
    (bare.time_mean, bare.time_std) = (None, None);
    bare.settle_objective();
    let train = &mut out.train;
    for (own, usual) in [
        (&mut train.sigma_data, bare.sigma_data),
        (&mut train.huber_delta, bare.huber_delta),
        (&mut train.vlb_weight, bare.vlb_weight),
        (&mut train.time_mean, bare.time_mean),
        (&mut train.time_std, bare.time_std),
    ] {
        if *own == usual {
            *own = None;
        }
    }
    if train.halvings == bare.halvings {
        train.halvings = None;
    }
    out
}

fn table(value: &impl Serialize) -> Result<Table, ConfigError> {
    Table::try_from(value).map_err(|error| ConfigError::Write { error })
}

/// Which network settings the user gave.
pub(crate) struct Said {
    /// `model.classes`, in a preset or any layer above it.
    pub(crate) classes: bool,
    pub(crate) attention: bool,
}

impl Config {
    /// Whether the images had this size before padding; then a run on such images keeps the padding.
    pub(crate) fn fits(&self, images: &ImageShape) -> bool {
        let inner = self.images.as_ref().map(|own| own.inner_shape());
        inner.is_some_and(|(height, width, _)| (height, width) == (images.height, images.width))
    }

    /// Takes classes and channels from the images, before [`Config::settle_classes`].
    pub(crate) fn settle_init(
        &mut self,
        source: &Self,
        images: &ImageShape,
        said: &Said,
    ) -> Result<(), ConfigError> {
        if images.channels != self.model.in_channels {
            let expected = format!(
                "{}, the channels of the network of --init-from; pass --set data.channels={0}",
                self.model.in_channels
            );
            return Err(ConfigError::value("data", "channels", images.channels, expected));
        }
        if !said.classes && source.model.classes.is_some() {
            // `None` would mean a preset without classes; 0 also removes the label dropout.
            self.model.classes = Some(images.classes);
        }
        Ok(())
    }

    /// Keeps attention at the levels whose weights have it, once the size is known.
    pub(crate) fn keep_attention(&mut self, source: &Self, said: &Said) {
        let own = &source.model;
        if said.attention || own.attention_resolutions.is_empty() || own.image_size == self.model.image_size {
            return;
        }
        let levels = (0..own.levels()).filter(|&level| {
            own.level_size(level) > 0 && own.attention_resolutions.contains(&own.level_size(level))
        });
        self.model.attention_resolutions = levels.map(|level| self.model.level_size(level)).collect();
    }

    /// Checks that the output means what the weights were trained to predict.
    pub(crate) fn check_init(&self, source: &Self) -> Result<(), ConfigError> {
        let (mut was, own) = (self.clone(), &source.train);
        was.schedule = source.schedule.clone();
        was.schedule.settle()?;
        (was.train.prediction, was.train.variance) = (own.prediction, own.variance);
        if own.prediction == self.train.prediction && own.output() != self.train.output() {
            was.train.sigma_data = own.sigma_data;
        }
        // Report the kind of schedule before its parameters, which say less.
        let mut changes = changes(&was, self)?;
        changes.sort_by_key(|change| change.key != "schedule.kind");
        match changes.into_iter().next() {
            Some(change) => Err(ConfigError::Init { key: change.key, was: change.was, is: change.is }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImagesConfig, Layers, parse_set};

    fn grey(side: usize, classes: usize) -> ImageShape {
        ImageShape { height: side, width: side, channels: 1, classes }
    }

    fn settled(layers: &Layers<'_>, set: &[&str], images: &ImageShape) -> Result<Config, ConfigError> {
        let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
        Layers { set: &set, ..*layers }.settle(images)
    }

    /// A run on images of 16 pixels.
    fn source(set: &[&str]) -> Config {
        let preset = Layers { preset: Some("tiny-16"), ..Layers::default() };
        let config = settled(&preset, set, &grey(16, 10)).unwrap();
        Config { images: Some(ImagesConfig::square(16, 1)), ..config }
    }

    fn tuned(source: &Config, set: &[&str], images: &ImageShape) -> Result<Config, ConfigError> {
        settled(&Layers { init: Some(source), ..Layers::default() }, set, images)
    }

    #[test]
    fn network_and_objective_come_from_the_weights_and_training_is_new() {
        let source = source(&["schedule.kind=cosine", "train.loss_weight=min-snr", "train.lr=0.1"]);
        let config = tuned(&source, &["train.steps=7"], &grey(16, 10)).unwrap();
        assert_eq!((&config.model, &config.schedule), (&source.model, &source.schedule));
        assert_eq!(config.train.prediction, source.train.prediction);
        assert_eq!(config.train.loss_weight, source.train.loss_weight);
        // The default preset for these images without weights.
        let images = crate::preset_table("images").unwrap();
        assert_eq!(Some(config.train.lr), images["train"]["lr"].as_float());
        assert_eq!((config.train.steps, config.data.size), (7, None));
    }

    #[test]
    fn a_new_size_keeps_attention_levels_and_the_same_size_keeps_its_border() {
        let source = source(&["model.channel_mults=[1,2,2]"]);
        assert_eq!(source.model.attention_resolutions, [8]);
        let config = tuned(&source, &[], &grey(29, 0)).unwrap();
        assert_eq!((config.model.image_size, config.data.pad_to_multiple), (32, Some(4)));
        assert_eq!(config.model.attention_resolutions, [16]);
        assert_eq!(config.model.parameters(), source.model.parameters());

        let mut padded = source.clone();
        padded.model.image_size = 32;
        padded.model.attention_resolutions = vec![16];
        padded.data.pad_to_multiple = Some(32);
        padded.images = Some(ImagesConfig { padding: [2, 2, 2, 2], ..ImagesConfig::square(32, 1) });
        let config = tuned(&padded, &[], &grey(28, 0)).unwrap();
        assert_eq!((config.model.image_size, config.data.pad_to_multiple), (32, Some(32)));
        assert_eq!(tuned(&padded, &[], &grey(24, 0)).unwrap().model.image_size, 24);
    }

    #[test]
    fn a_conditional_network_takes_its_classes_from_the_images() {
        let plain = source(&[]);
        assert_eq!(tuned(&plain, &[], &grey(16, 3)).unwrap().model.classes, None);
        let added = ["model.classes=3", "train.label_dropout=0.2"];
        assert_eq!(tuned(&plain, &added, &grey(16, 3)).unwrap().model.classes, Some(3));

        let conditional = source(&["model.classes=10", "train.label_dropout=0.1"]);
        for (set, of_data, classes, dropout) in [
            (&[][..], 10, Some(10), 0.1),
            (&[], 3, Some(3), 0.1),
            (&[], 0, None, 0.0),
            (&["model.classes=10"], 3, Some(10), 0.1),
            (&["model.classes=0"], 3, None, 0.0),
            (&["train.label_dropout=0.5"], 3, Some(3), 0.5),
        ] {
            let config = tuned(&conditional, set, &grey(16, of_data)).unwrap();
            assert_eq!((config.model.classes, config.train.label_dropout), (classes, dropout), "{set:?}");
        }
        let layers = Layers { init: Some(&conditional), ..Layers::default() };
        assert!(layers.wants_labels().unwrap());
        let preset = Layers { preset: Some("fashion-28-classes"), init: Some(&plain), ..Layers::default() };
        assert_eq!(settled(&preset, &[], &grey(16, 10)).unwrap().model.classes, Some(10));
    }

    #[test]
    fn a_changed_output_is_refused_by_its_key() {
        let source = source(&["train.sigma_data=0.7", "train.prediction=edm", "schedule.kind=edm"]);
        for (set, words) in [
            ("schedule.kind=linear", &["schedule.kind", "edm", "--init-from"][..]),
            ("schedule.steps=500", &["schedule.steps", "500", "1000"]),
            ("schedule.sigma_max=50.0", &["schedule.sigma_max", "50", "80"]),
            ("train.prediction=v", &["train.prediction", "edm", "\"v\""]),
            ("train.sigma_data=0.5", &["train.sigma_data", "0.7", "0.5"]),
            ("data.channels=3", &["data.channels = 3", "expected 1", "data.channels=1"]),
        ] {
            let channels = if set.starts_with("data.channels") { 3 } else { 1 };
            let images = ImageShape { channels, ..grey(16, 0) };
            let error = tuned(&source, &[set], &images).unwrap_err();
            let message = error.to_string();
            assert!(error.is_usage() && !message.contains('\n'), "{message}");
            words.iter().for_each(|word| assert!(message.contains(word), "{set}: {message}"));
        }
        // The same value again, and settings that only weight the loss, are allowed.
        for set in ["train.sigma_data=0.7", "train.loss_weight=p2", "train.time_sampling=uniform"] {
            tuned(&source, &[set], &grey(16, 0)).unwrap_or_else(|error| panic!("{set}: {error}"));
        }
    }

    #[test]
    fn a_run_id_depends_on_its_first_weights_but_not_their_path() {
        let run = |init: Option<(&str, &str)>| {
            let init =
                init.map(|(from, sha256)| InitConfig { from: from.to_owned(), sha256: sha256.to_owned() });
            Config { init, ..source(&[]) }
        };
        let id = |init| run(init).fingerprint().unwrap();
        assert_eq!(id(Some(("a", "1"))), id(Some(("b", "1"))));
        assert_ne!(id(Some(("a", "1"))), id(Some(("a", "2"))));
        assert_ne!(id(Some(("a", "1"))), id(None));
        let text = crate::to_toml(&run(Some(("a", "1")))).unwrap();
        assert_eq!(crate::from_toml(&text).unwrap(), run(Some(("a", "1"))));
        assert!(crate::check_resume(&run(None), &run(Some(("a", "1")))).is_err());
    }

    #[test]
    fn an_objective_is_accepted_if_it_agrees_with_the_weights() {
        let objective = |source: &Config, name| {
            let layers = Layers { objective: Some(name), init: Some(source), ..Layers::default() };
            layers.settle(&grey(16, 0))
        };
        let noise = source(&["train.prediction=eps", "train.loss_weight=p2"]);
        let config = objective(&noise, "ddpm").unwrap();
        assert_eq!(config.train.loss_weight, schedule::LossWeight::Simple);
        assert_eq!(config.model.embedding, noise.model.embedding);
        let flow = objective(&noise, "flow").unwrap_err().to_string();
        assert!(flow.contains("schedule.kind is \"straight\"") && flow.contains("--init-from"), "{flow}");
    }
}
