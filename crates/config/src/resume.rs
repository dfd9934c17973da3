//! Decides which settings may change when a run is resumed.

use toml::Value;

use crate::differences::{changes, show};
use crate::error::ConfigError;
use crate::overrides::Override;
use crate::run::Config;

/// The keys that may change when a run is resumed: its length, its learning rate, its cost and what it shows. All other
/// keys decide what the completed steps have computed.
///
/// `data.source` may name another place. The caller has to check by hash that the images are the same.
pub const MAY_CHANGE: &[&str] = &[
    "precision",
    "data.source",
    "data.memory",
    "train.steps",
    "train.lr",
    "train.micro_batch",
    "train.checkpoint_activations",
    "train.on_nan",
    "train.log_every",
    "train.sample_every",
    "train.evaluate_every",
    "train.evaluate_count",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "sample.count",
    "sample.sampler",
    "sample.steps",
];

/// Checks that a run with configuration `was` may resume as `is`. `was` comes from the checkpoint that it resumes from.
///
/// # Errors
/// [`ConfigError::OtherRun`] for a checkpoint of another run; [`ConfigError::Resume`] for the first key that must not
/// change; [`ConfigError::Write`] for numbers above 2^63 - 1.
pub fn check_resume(was: &Config, is: &Config) -> Result<(), ConfigError> {
    let name = |config: &Config| config.id.clone().unwrap_or_else(|| "without an id".to_owned());
    // Checkpoints of earlier versions have no id.
    if was.id.is_some() && was.id != is.id {
        return Err(ConfigError::OtherRun { expected: name(is), found: name(was) });
    }
    let stays = |key: &str| key != "id" && !MAY_CHANGE.contains(&key);
    match changes(was, is)?.into_iter().find(|change| stays(&change.key)) {
        Some(change) => Err(ConfigError::Resume { key: change.key, was: change.was, is: change.is }),
        None => Ok(()),
    }
}

impl Override {
    /// The error for a change to a key that a run cannot change, if it is one. It tells the user more than an error
    /// about the new value.
    #[must_use]
    pub fn refused_on_resume(&self, run: &Config) -> Option<ConfigError> {
        let key = self.key();
        if matches!(self.group(), "images" | "id" | "init") {
            return Some(ConfigError::NotSettable { key });
        }
        let whole = Value::try_from(run).ok()?;
        let was = key.split('.').try_fold(&whole, |value, part| value.get(part))?;
        let stays = !MAY_CHANGE.contains(&key.as_str());
        stays.then(|| ConfigError::Resume { was: show(Some(was)), is: show(Some(self.value())), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_toml, parse_set};

    const TINY_16: &str = include_str!("../tests/old_runs/tiny-16.toml");

    fn with(set: &[&str]) -> Config {
        let config = from_toml(TINY_16).unwrap();
        set.iter().fold(config, |config, text| config.with(&parse_set(text).unwrap()).unwrap())
    }

    #[test]
    fn only_the_listed_keys_may_change() {
        check_resume(&with(&[]), &with(&[])).unwrap();
        for change in [
            "precision=f32",
            "data.source=/elsewhere",
            "train.steps=400",
            "train.lr=1e-4",
            "train.micro_batch=8",
            "train.on_nan=skip",
            "train.log_every=1",
            "sample.sampler=ddpm",
        ] {
            check_resume(&with(&[]), &with(&[change])).unwrap_or_else(|error| panic!("{change}: {error}"));
        }
        for (change, was) in [
            ("train.prediction=eps", "\"v\""),
            ("schedule.kind=sigmoid", "\"linear\""),
            ("schedule.steps=100", "1000"),
            ("schedule.beta_end=0.01", "0.02"),
            ("model.heads=2", "1"),
            ("model.groups=4", "8"),
            ("model.norm_eps=0.001", "0.000001"),
            ("model.dropout=0.5", "0.0"),
            ("model.attention_resolutions=[]", "[8]"),
            ("train.batch=16", "32"),
            ("train.lr_decay=constant", "\"cosine\""),
            ("train.flip=false", "true"),
            ("data.limit=10", "unset"),
            // Usual values are left out of a file.
            ("train.optimizer=muon", "\"adam\""),
            ("train.crop=0.1", "0.0"),
            ("train.ema_decays=[0.9]", "[]"),
            ("data.order=blocks", "\"images\""),
            ("model.layout.activation=relu", "\"silu\""),
            ("model.layout.middle.absent=true", "false"),
            ("seed=1", "0"),
            ("images.sha256=ab", "\"9fef"),
        ] {
            let message = check_resume(&with(&[]), &with(&[change])).unwrap_err().to_string();
            let (key, is) = change.split_once('=').unwrap();
            assert!(message.contains(&format!("{key} is {was}")), "{change}: {message}");
            assert!(
                message.contains(is.trim_matches(['[', ']', '-'])) && !message.contains('\n'),
                "{message}"
            );
        }
        let message = check_resume(&with(&["train.optimizer=muon"]), &with(&[])).unwrap_err().to_string();
        assert!(message.contains("train.optimizer is \"muon\" in this run and \"adam\" here"), "{message}");
    }

    #[test]
    fn an_invalid_change_is_refused_for_its_key() {
        let refusal = |text: &str| parse_set(text).unwrap().refused_on_resume(&with(&[]));
        let kind = refusal("model.embedding.kind=fourier").unwrap().to_string();
        assert!(
            kind.contains("model.embedding.kind is \"normalized\" in this run and \"fourier\" here"),
            "{kind}"
        );
        assert!(refusal("train.lr=x").is_none() && refusal("train.no_such=1").is_none());
        assert!(matches!(refusal("images.height=3"), Some(ConfigError::NotSettable { .. })));
    }

    #[test]
    fn a_checkpoint_of_another_run_is_recognised() {
        let id = |config: &Config, id: Option<String>| Config { id, ..config.clone() };
        let config = with(&[]);
        let own = id(&config, Some(config.fingerprint().unwrap()));
        check_resume(&own, &own).unwrap();
        // Even if only keys differ that may change.
        let other = with(&["train.lr=1e-4"]);
        let other = id(&other, Some(other.fingerprint().unwrap()));
        assert!(matches!(check_resume(&other, &own), Err(ConfigError::OtherRun { .. })));
        assert!(matches!(check_resume(&own, &config), Err(ConfigError::OtherRun { .. })));
        // Checkpoints of earlier versions have no id.
        check_resume(&config, &own).unwrap();
        check_resume(&config, &config).unwrap();
    }

    #[test]
    fn the_id_depends_on_everything_but_the_path_of_the_images() {
        let id = |set: &[&str]| with(set).fingerprint().unwrap();
        assert_eq!(id(&[]), id(&["data.source=/elsewhere"]));
        assert_eq!(id(&[]), id(&["id=before"]));
        for change in ["seed=1", "train.lr=1e-4", "images.sha256=ab", "model.heads=2"] {
            assert_ne!(id(&[]), id(&[change]), "{change}");
        }
        assert_eq!(id(&[]).len(), 16);
    }
}
