//! Every key of the configuration: type, range, choices, default and meaning. The checks take their wording from here,
//! `ddpm config reference` and `docs/configuration.md` show it, and `ddpm train --dump-config` writes it beside the values.

mod commented;
mod defaults;
mod general;
mod key;
mod network;
mod sampling;
mod training;

use toml::Value;

pub use commented::to_commented_toml;
pub use defaults::Defaults;
pub use key::{Choice, Key, Kind};

/// A table of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The name in brackets, for example `model.embedding`; empty for the keys outside tables.
    pub name: &'static str,
    /// What its keys are about: one phrase, without a full stop.
    pub meaning: &'static str,
    /// The keys, in the order of a run's file.
    pub keys: &'static [Key],
}

/// All tables, in the order of the reference.
pub const GROUPS: &[Group] = &[
    Group { name: "", meaning: "The whole run", keys: general::RUN },
    Group { name: "data", meaning: "Where the images are, and how they get one size", keys: general::DATA },
    Group { name: "schedule", meaning: "How much noise each t has", keys: general::SCHEDULE },
    Group { name: "model", meaning: "The network", keys: network::MODEL },
    Group { name: "model.embedding", meaning: "How t becomes a vector", keys: network::EMBEDDING },
    Group {
        name: "model.layout",
        meaning: "How the network differs from the default U-Net, as those of other programs do",
        keys: network::LAYOUT,
    },
    Group {
        name: "model.layout.middle",
        meaning: "How its middle differs from the default",
        keys: network::MIDDLE,
    },
    Group { name: "train", meaning: "How the network is trained", keys: training::TRAIN },
    Group { name: "sample", meaning: "The sample grids of a run", keys: sampling::SAMPLE },
    Group {
        name: "sample.preferred",
        meaning: "How a network from another program is sampled by default",
        keys: sampling::PREFERRED,
    },
    Group { name: "images", meaning: "The images of a run", keys: sampling::IMAGES },
    Group { name: "init", meaning: "The weights that a run started from", keys: sampling::INIT },
];

impl Group {
    /// A key's whole name, as for `--set`.
    #[must_use]
    pub fn path(&self, key: &Key) -> String {
        if self.name.is_empty() { key.name.to_owned() } else { format!("{}.{}", self.name, key.name) }
    }

    /// A group by its name.
    fn named(name: &str) -> Option<&'static Self> {
        GROUPS.iter().find(|group| group.name == name)
    }

    /// A key by its name within the group.
    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The valid values of a key, as they follow "expected" in a message; empty for an unknown key.
pub(crate) fn expected(group: &str, field: &str) -> String {
    Group::named(group).and_then(|group| group.key(field)).map(Key::expected).unwrap_or_default()
}

/// The value that an absent key stands for, if it is always the same.
pub(crate) fn usual(path: &str) -> Option<Value> {
    let (group, field) = path.rsplit_once('.').unwrap_or(("", path));
    Group::named(group)?.key(field)?.usual()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, ImageShape, Layers, ScheduleConfig, parse_set, preset_table};
    use schedule::{LossWeight, Prediction, Spacing, Variance};

    fn all() -> impl Iterator<Item = (String, &'static Key)> {
        GROUPS.iter().flat_map(|group| group.keys.iter().map(move |key| (group.path(key), key)))
    }

    fn names(path: &str) -> Vec<&'static str> {
        let (_, key) = all().find(|(name, _)| name == path).unwrap();
        key.choices().iter().map(|choice| choice.0).collect()
    }

    fn tiny() -> Config {
        preset_table("tiny-16").unwrap().try_into().unwrap()
    }

    #[test]
    fn entries_are_short_and_complete() {
        for (path, key) in all() {
            assert!((4..=90).contains(&key.meaning.len()) && !key.meaning.ends_with('.'), "{path}");
            assert!(key.more.is_empty() || key.more.ends_with('.'), "{path}");
            assert!(key.choices().iter().all(|(_, meaning)| (3..=85).contains(&meaning.len())), "{path}");
            assert!(!key.comment().contains('\n') && key.comment().len() < 120, "{path}");
        }
        assert!(GROUPS.iter().all(|group| !group.meaning.is_empty() && !group.keys.is_empty()));
    }

    /// Words that serde reads are compared with its own list of them, the others with theirs.
    #[test]
    fn the_words_are_those_that_the_program_knows() {
        for (path, known) in [
            ("schedule.kind", ScheduleConfig::KINDS),
            ("train.prediction", Prediction::NAMES),
            ("train.loss_weight", LossWeight::NAMES),
            ("sample.preferred.spacing", Spacing::NAMES),
            ("sample.preferred.sigma", Variance::NAMES),
        ] {
            assert_eq!(names(path), known, "{path}");
        }
        for path in [
            "model.kind",
            "model.embedding.kind",
            "model.time_injection",
            "model.time_form",
            "model.downsample_padding",
            "model.layout.activation",
            "data.order",
            "train.lr_decay",
            "train.optimizer",
            "train.loss",
            "train.variance",
            "train.time_sampling",
            "train.pairing",
            "train.on_nan",
        ] {
            let message = tiny().with(&parse_set(&format!("{path}=zzz")).unwrap()).unwrap_err().to_string();
            // unknown variant `zzz`, expected one of `a`, `b`
            let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            assert_eq!(names(path), known, "{path}: {message}");
        }
        let accepted = |path: &str, word: &str| {
            let config = tiny().with(&parse_set(&format!("{path}={word}")).unwrap()).unwrap();
            match path {
                "data.fit" => config.data.fit().is_ok(),
                "data.on_bad" => config.data.on_bad().is_ok(),
                _ => ["auto", "f32", "tf32", "bf16"].contains(&config.precision.as_str()),
            }
        };
        for path in ["data.fit", "data.on_bad", "precision"] {
            assert!(names(path).iter().all(|word| accepted(path, word)) && !accepted(path, "zzz"), "{path}");
        }
    }

    /// A default in a single word is a value; setting it changes nothing. Others describe what happens.
    #[test]
    fn a_default_is_what_an_absent_key_means() {
        let mut tried = 0;
        for (path, key) in all() {
            let is_value = !key.unset.is_empty() && key.unset != "none" && !key.unset.contains(' ');
            // The group is absent from most configurations, and some of its keys are required.
            if is_value && key.settable && !path.starts_with("sample.preferred.") {
                let set = tiny().with(&parse_set(&format!("{path}={}", key.unset)).unwrap());
                assert_eq!(set.unwrap_or_else(|error| panic!("{path}: {error}")), tiny(), "{path}");
                tried += 1;
            }
        }
        assert!(tried > 10, "{tried}");
    }

    /// The messages of the checks have the ranges of the reference.
    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let images = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };
        for change in [
            "data.fit=x",
            "data.on_bad=x",
            "data.pad_to_multiple=2000",
            "data.unpacked_limit=0",
            "data.memory=0",
            "data.shuffle_buffer=0",
            "precision=x",
            "model.blocks_per_level=65",
            "model.base_channels=0",
            "model.dropout=1.0",
            "model.norm_eps=0.0",
            "model.adapter_rank=1025",
            "train.steps=0",
            "train.batch=0",
            "train.batch=2000000",
            "train.micro_batch=99",
            "train.lr=2.0",
            "train.beta1=1.0",
            "train.beta2=1.0",
            "train.adam_eps=0.0",
            "train.weight_decay=2.0",
            "train.grad_clip=0.0",
            "train.ema_decay=1.0",
            "train.ema_decays=[1.0]",
            "train.ema_sigma_rels=[1.0]",
            "train.augment=2.0",
            "train.evaluate_count=5",
            "train.log_every=0",
            "train.checkpoint_every=0",
            "train.keep_checkpoints=1",
            "sample.count=0",
        ] {
            let set = [parse_set(change).unwrap()];
            let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
            let message = layers.settle(&images).unwrap_err().to_string();
            let path = set[0].key();
            let (group, field) = path.rsplit_once('.').unwrap_or(("", path.as_str()));
            let range = expected(group, field);
            assert!(!range.is_empty() && message.contains(&range), "{change}: {message}");
        }
    }
}
