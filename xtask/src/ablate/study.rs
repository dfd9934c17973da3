//! A study: trainings, and the ways to evaluate each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A study file, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Study {
    /// Name of its folder and page.
    pub(super) name: String,
    /// The file name in messages.
    pub(super) file: String,
    pub(super) base: Settings,
    pub(super) budget: Budget,
    pub(super) evaluate: Evaluate,
    pub(super) best: Option<Best>,
    pub(super) rows: Vec<Row>,
}

/// One training, or one per seed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Its own settings.
    pub(super) own: Settings,
    /// The same over the base.
    pub(super) settings: Settings,
    pub(super) evaluations: Vec<(Average, Sampling)>,
    /// At least one seed.
    pub(super) seeds: Vec<u64>,
}

/// The settings of a training for `ddpm train`, except its length and seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) objective: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<String>,
    /// `KEY=VALUE`; keys are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) set: Vec<String>,
}

/// The length of each training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Budget {
    /// Optimiser steps.
    Steps(u64),
    /// Seconds of training on this machine.
    Seconds(f64),
}

/// Settings shared by all evaluations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evaluate {
    /// Images drawn.
    pub(super) n: u64,
    pub(super) metrics: Vec<String>,
    /// The metric that rows are sorted by: `NAME` or `NAME:REFERENCE`.
    pub(super) metric: String,
    pub(super) seed: u64,
    /// The feature network and the held-out images, if not the program's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) features: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held_out: Option<String>,
}

/// More seeds for the best rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Best {
    /// How many rows.
    pub(super) count: usize,
    pub(super) seeds: Vec<u64>,
}

/// The weights of a training to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Average {
    /// The run's own EMA, `train.ema_decay`.
    Own,
    /// The raw weights.
    Raw,
    /// A power average that `ddpm ema` makes afterwards.
    SigmaRel(f64),
    /// An exponential average of this decay, made the same way.
    Decay(f64),
}

/// How images are sampled: the flags of `ddpm evaluate` by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sampling {
    pub(super) sampler: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) steps: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) guidance: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spacing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rho: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sigma: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) eta: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) churn: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) threshold: Option<String>,
}

impl Settings {
    /// Lays these settings over those of the base: a key of `set` replaces the same key there.
    pub(super) fn over(&self, base: &Self) -> Self {
        let own = |key: &str| self.set.iter().any(|entry| key_of(entry) == key);
        let kept = base.set.iter().filter(|entry| !own(key_of(entry)));
        Self {
            preset: self.preset.clone().or_else(|| base.preset.clone()),
            objective: self.objective.clone().or_else(|| base.objective.clone()),
            data: self.data.clone().or_else(|| base.data.clone()),
            set: kept.chain(&self.set).cloned().collect(),
        }
    }

    /// For tables: `objective flow, train.pairing=optimal`; `-` for no settings.
    pub(super) fn text(&self) -> String {
        let named = [("preset", &self.preset), ("objective", &self.objective), ("data", &self.data)];
        let named = named.iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)));
        let parts: Vec<String> = named.chain(self.set.iter().cloned()).collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
    }

    /// The flags of `ddpm train`.
    pub(super) fn flags(&self) -> Vec<String> {
        let named = [("--preset", &self.preset), ("--objective", &self.objective), ("--data", &self.data)];
        let mut flags = Vec::new();
        for (flag, name) in named {
            if let Some(name) = name {
                flags.extend([flag.to_owned(), name.clone()]);
            }
        }
        flags.extend(self.set.iter().flat_map(|entry| ["--set".to_owned(), entry.clone()]));
        flags
    }
}

/// The key part of `KEY=VALUE`.
pub(super) fn key_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default().trim()
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => f.write_str(&files::counted(*steps, "step")),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
        }
    }
}

impl Sampling {
    fn named(&self) -> Vec<(&'static str, String)> {
        let number = |x: &Option<f64>| x.map(|x| x.to_string());
        let parts = [
            ("steps", self.steps.map(|n| n.to_string())),
            ("class", self.class.clone()),
            ("guidance", number(&self.guidance)),
            ("spacing", self.spacing.clone()),
            ("rho", number(&self.rho)),
            ("sigma", self.sigma.clone()),
            ("eta", number(&self.eta)),
            ("order", self.order.map(|n| n.to_string())),
            ("churn", number(&self.churn)),
            ("threshold", self.threshold.clone()),
        ];
        parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The flags of `ddpm evaluate`.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--sampler".to_owned(), self.sampler.clone()];
        flags.extend(self.named().into_iter().flat_map(|(name, value)| [format!("--{name}"), value]));
        flags
    }

    /// Network calls per image, if the steps are given: two for each step of `heun` except the last, and twice as many
    /// with guidance, which is on whenever there is a class.
    pub(super) fn calls(&self) -> Option<f64> {
        let steps = self.steps? as f64;
        let calls = if self.sampler == "heun" { 2.0 * steps - 1.0 } else { steps };
        let guided = self.guidance.map_or(self.class.is_some(), |w| w != 1.0);
        Some(if guided { 2.0 * calls } else { calls })
    }
}

/// `ddim 30, guidance 1.5`.
impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sampler)?;
        for (name, value) in self.named() {
            match name {
                "steps" => write!(f, " {value}")?,
                name => write!(f, ", {name} {value}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Raw => f.write_str("raw"),
            Self::SigmaRel(x) => write!(f, "sigma_rel={x}"),
            Self::Decay(x) => write!(f, "decay={x}"),
        }
    }
}

impl FromStr for Average {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, good: fn(f64) -> bool| text.parse().ok().filter(|&x| good(x));
        let average = match text.split_once('=') {
            None if text == "own" => Some(Self::Own),
            None if text == "raw" => Some(Self::Raw),
            Some(("sigma_rel", x)) => number(x, |x| (0.01..=0.28).contains(&x)).map(Self::SigmaRel),
            Some(("decay", x)) => number(x, |x| (0.0..1.0).contains(&x)).map(Self::Decay),
            _ => None,
        };
        let expected = "expected own, raw, sigma_rel=X (0.01 to 0.28) or decay=X (0 up to, but not, 1)";
        average.ok_or_else(|| format!("ema \"{text}\": {expected}"))
    }
}

impl Serialize for Average {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'a> Deserialize<'a> for Average {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(objective: Option<&str>, set: &[&str]) -> Settings {
        Settings {
            objective: objective.map(str::to_owned),
            set: set.iter().map(|&entry| entry.to_owned()).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn a_row_goes_over_the_base_key_by_key() {
        let base = settings(Some("v"), &["train.lr=1e-3", "train.batch=64"]);
        let merged = settings(None, &["train.lr=2e-3"]).over(&base);
        assert_eq!(merged, settings(Some("v"), &["train.batch=64", "train.lr=2e-3"]));
        assert_eq!(merged.flags().join(" "), "--objective v --set train.batch=64 --set train.lr=2e-3");
        assert_eq!(merged.text(), "objective v, train.batch=64, train.lr=2e-3");
        assert_eq!(Settings::default().text(), "-");
    }

    #[test]
    fn averages_are_read_as_they_are_written() {
        for text in ["own", "raw", "sigma_rel=0.05", "decay=0.999"] {
            assert_eq!(text.parse::<Average>().unwrap().to_string(), text);
        }
        for text in ["ema", "sigma_rel=0.5", "sigma_rel", "decay=1", "decay=x", "sigma_rel=NaN"] {
            let error = text.parse::<Average>().unwrap_err();
            assert!(error.contains(text) && error.contains("expected own"), "{error}");
        }
    }

    #[test]
    fn a_sampling_is_flags_and_a_label() {
        let sampling: Sampling =
            toml::from_str("guidance = 2\nsampler = 'heun'\nsteps = 10\nspacing = 'karras'").unwrap();
        assert_eq!(sampling.to_string(), "heun 10, guidance 2, spacing karras");
        assert_eq!(sampling.flags().join(" "), "--sampler heun --steps 10 --guidance 2 --spacing karras");
        assert_eq!(sampling.calls(), Some(38.0));
        assert_eq!(Sampling { sampler: "ddim".into(), guidance: None, ..sampling }.calls(), Some(10.0));
    }
}
