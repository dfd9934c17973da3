//! Refuses values that are valid but have no effect because of another value. A user who sets such a value expects it
//! to matter. A preset, or a file that repeats its preset, may contain such values.

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::network::{TimeInjection, UNetConfig};
use crate::run::Config;

/// A key, when it has no effect, and why.
struct Idle {
    key: &'static str,
    idle: fn(&Config) -> bool,
    reason: &'static str,
}

const IDLE: &[Idle] = &[
    Idle {
        key: "model.time_form",
        idle: |config| config.model.time_injection == TimeInjection::Input,
        reason: "since model.time_injection = input keeps the time out of the blocks",
    },
    Idle {
        key: "model.heads",
        idle: |config| !attends(&config.model),
        reason: "since no level has attention (model.attention_resolutions and model.mid_attention)",
    },
    Idle {
        key: "model.downsample_padding",
        idle: |config| config.model.levels() == 1,
        reason: "since a network of one level (model.channel_mults) does not downsample",
    },
    Idle {
        key: "data.fit",
        idle: |config| config.data.size.is_none(),
        reason: "since images are resized only when data.size is set",
    },
];

/// Refuses the first value without effect that the user set differently from preset and objective.
pub(crate) fn check(config: &Config, user: &Table, base: &Table) -> Result<(), ConfigError> {
    for Idle { key, idle, reason } in IDLE {
        let (group, field) = key.split_once('.').unwrap_or((key, ""));
        let of = |table: &Table| table.get(group).and_then(|group| group.get(field)).cloned();
        let Some(given) = of(user) else { continue };
        if of(base).as_ref() != Some(&given) && idle(config) {
            let got = match given {
                Value::String(text) => text,
                other => other.to_string(),
            };
            return Err(ConfigError::NoEffect { key, got, reason });
        }
    }
    // A preset's channels are doubled for a learned variance; channels that the user sets must be right.
    let channels = user.get("model").and_then(|model| model.get("out_channels")).and_then(Value::as_integer);
    if let Some(got) =
        channels.filter(|&got| got != 0 && usize::try_from(got) != Ok(config.model.out_channels))
    {
        return Err(ConfigError::value("model", "out_channels", got, config.model.out_channels.to_string()));
    }
    // Setting classes to 0 also drops the preset's label dropout, but not one that the user asked for.
    let dropout = user.get("train").and_then(|train| train.get("label_dropout")).and_then(Value::as_float);
    match dropout {
        Some(label_dropout) if label_dropout > 0.0 && config.model.classes.is_none() => {
            Err(ConfigError::NothingToDrop { label_dropout, of_data: 0 })
        }
        _ => Ok(()),
    }
}

fn attends(model: &UNetConfig) -> bool {
    model.mid_attention || (0..model.levels()).any(|level| model.has_attention(level))
}

#[cfg(test)]
mod tests {
    use crate::{ConfigError, ImageShape, Layers, UserFile, parse_set, to_toml};

    const GREY: ImageShape = ImageShape { height: 16, width: 16, channels: 1, classes: 10 };

    fn settled(set: &[&str]) -> Result<crate::Config, ConfigError> {
        let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
        Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() }.settle(&GREY)
    }

    #[test]
    fn values_without_effect_are_refused_by_name() {
        let no_attention = ["model.attention_resolutions=[]", "model.mid_attention=false"];
        let cases: &[(&[&str], &str, &[&str])] = &[
            (
                &["model.time_injection=input"],
                "model.time_form=scale-shift",
                &["model.time_injection = input"],
            ),
            (&no_attention, "model.heads=2", &["no level has attention"]),
            (
                &["model.channel_mults=[2]", "model.attention_resolutions=[16]"],
                "model.downsample_padding=bottom-right",
                &["one level"],
            ),
            (&["model.classes=0"], "train.label_dropout=0.1", &["label"]),
            (&[], "model.out_channels=2", &["in_channels, 1"]),
            (&["model.in_channels=1"], "model.out_channels=3", &["in_channels, 1"]),
            (&[], "images.height=5", &["cannot be set"]),
            (&[], "id=abc", &["cannot be set"]),
            (&[], "model.embedding.dim=32", &["dim"]),
            (&[], "model.embedding.seed=1", &["seed"]),
            (&["schedule.kind=cosine"], "schedule.beta_end=0.1", &["cosine"]),
            (&[], "schedule.max_beta=0.9", &["linear"]),
        ];
        for (with, change, words) in cases {
            settled(with).unwrap_or_else(|error| panic!("{with:?}: {error}"));
            let mut all = with.to_vec();
            all.push(change);
            let error = settled(&all).map(|_| ()).unwrap_err();
            let key = change.split('=').next().unwrap();
            let (message, last) = (error.to_string(), key.rsplit('.').next().unwrap());
            assert!(error.is_usage() && message.contains(last) && !message.contains('\n'), "{message}");
            words.iter().for_each(|word| assert!(message.contains(word), "{change}: {message}"));
        }
    }

    #[test]
    fn a_value_with_effect_is_accepted() {
        for set in [
            &["model.time_form=scale-shift"][..],
            &["model.heads=2"],
            &["model.heads=2", "model.attention_resolutions=[]"],
            &["model.classes=10", "train.label_dropout=0.1"],
            &["data.fit=pad"],
            &["model.out_channels=1"],
        ] {
            settled(set).unwrap_or_else(|error| panic!("{set:?}: {error}"));
        }
        let set = [parse_set("data.fit=pad").unwrap()];
        let without_size = Layers { preset: Some("images"), set: &set, ..Layers::default() }.settle(&GREY);
        assert!(without_size.unwrap_err().to_string().contains("data.size"));
    }

    /// A run's file contains everything, including values without effect and the image properties; `--config` accepts
    /// it as it is.
    #[test]
    fn a_run_file_is_accepted_as_it_is() {
        for idle in [
            &["model.time_injection=input"][..],
            &["model.channel_mults=[2]", "model.attention_resolutions=[16]"],
        ] {
            let mut config = settled(idle).unwrap();
            let want = config.clone();
            config.images = Some(crate::ImagesConfig::square(16, 1));
            config.id = Some("0123".to_owned());
            let file = UserFile { name: "a".to_owned(), text: to_toml(&config).unwrap() };
            let again =
                Layers { preset: Some("tiny-16"), file: Some(&file), ..Layers::default() }.settle(&GREY);
            assert_eq!(again.unwrap(), want);
        }
    }

    #[test]
    fn a_short_chain_gets_valid_defaults() {
        for steps in [2, 10, 100] {
            let config = settled(&[&format!("schedule.steps={steps}")]);
            let config = config.unwrap_or_else(|error| panic!("T = {steps}: {error}"));
            assert!(config.schedule.tables().unwrap().ends_in_noise(), "T = {steps}");
            assert_eq!(config.sample.steps, 20.min(steps));
        }
        let error = settled(&["schedule.steps=100", "schedule.beta_start=0.3"]).unwrap_err().to_string();
        assert!(error.contains("beta_start = 0.3"), "{error}");
    }
}
