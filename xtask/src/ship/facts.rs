//! `assets/models/fashion-28.json`: everything that the model card says. Paths of the machine that made it are left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Origin;
use crate::run_log::Log;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) file: FileFacts,
    pub(super) picture: Picture,
    pub(super) training: Training,
    /// Samples against real images.
    pub(super) samples: Measured,
    /// Real training images against test images.
    pub(super) yardstick: Measured,
    /// The commit, machine and date of the measurements.
    pub(super) origin: Origin,
}

/// The file of weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileFacts {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) parameters: u64,
}

/// The picture of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) sha256: String,
    pub(super) count: u64,
    pub(super) seed: u64,
}

/// The training run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Training {
    pub(super) recipe: String,
    pub(super) commit: String,
    pub(super) machine: String,
    pub(super) seed: u64,
    pub(super) steps: u64,
    pub(super) batch: u64,
    pub(super) learning_rate: f64,
    pub(super) ema_decay: f64,
    /// Whether half of the images were mirrored.
    pub(super) mirrored: bool,
    /// Training images.
    pub(super) images: u64,
    /// The SHA-256 of their sizes, pixels and labels.
    pub(super) images_sha256: String,
    /// Seconds of the steps, without checkpoints and grids.
    pub(super) seconds: f64,
}

impl Training {
    /// Reads the configuration and the log of a run. Commit and machine are not in them.
    pub(super) fn read(run: &Path, steps: u64, recipe: &str) -> anyhow::Result<Self> {
        let config = RunConfig::read(run)?;
        let sha256 = config.value("images.sha256")?.as_str().context("images.sha256 is no text")?;
        Ok(Self {
            recipe: recipe.to_owned(),
            seed: config.whole("seed")?,
            steps,
            batch: config.whole("train.batch")?,
            learning_rate: config.number("train.lr")?,
            ema_decay: config.number("train.ema_decay")?,
            mirrored: config.value("train.flip")?.as_bool().context("train.flip is not true or false")?,
            images: config.whole("images.count")?,
            images_sha256: sha256.to_owned(),
            seconds: Log::read(run)?.seconds(),
            ..Self::default()
        })
    }

    /// Images seen, repetitions included.
    pub(super) fn images_seen(&self) -> u64 {
        self.steps.saturating_mul(self.batch)
    }
}

/// The configuration of a run.
struct RunConfig {
    path: PathBuf,
    table: toml::Table,
}

impl RunConfig {
    fn read(run: &Path) -> anyhow::Result<Self> {
        let path = run.join("config.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let table = text.parse().with_context(|| path.display().to_string())?;
        Ok(Self { path, table })
    }

    /// The value of a key such as `train.batch`.
    fn value(&self, key: &str) -> anyhow::Result<&toml::Value> {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| self.table.get(part));
        let found = parts.fold(first, |value, part| value?.get(part));
        found.with_context(|| format!("{}: expected the key {key}, found none", self.path.display()))
    }

    fn whole(&self, key: &str) -> anyhow::Result<u64> {
        let number = self.value(key)?.as_integer().and_then(|number| u64::try_from(number).ok());
        number.with_context(|| format!("{}: {key}: expected a whole number", self.path.display()))
    }

    fn number(&self, key: &str) -> anyhow::Result<f64> {
        let value = self.value(key)?;
        let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        number.with_context(|| format!("{}: {key}: expected a number", self.path.display()))
    }
}

/// The answer of `ddpm evaluate`, without paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) images: u64,
    pub(super) seed: u64,
    pub(super) sampler: Option<String>,
    pub(super) steps: Option<u64>,
    pub(super) features: Option<Features>,
    pub(super) references: Vec<Reference>,
    pub(super) metrics: Vec<MetricFacts>,
    pub(super) copying: Option<Copying>,
}

/// The network that the distances use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Features {
    pub(super) name: String,
    pub(super) sha256: Option<String>,
}

/// A set of real images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// `train` or `test`.
    pub(super) part: String,
    pub(super) images: u64,
    pub(super) sha256: Option<String>,
}

/// A number with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MetricFacts {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) reference: Option<String>,
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    /// `lower` or `higher`.
    pub(super) better: String,
}

/// The test for copies of training images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Copying {
    pub(super) flagged: bool,
    pub(super) share: f64,
    pub(super) p_value: f64,
}

impl Measured {
    /// Reads an answer that must have these metrics, as `NAME:REFERENCE`.
    pub(super) fn of(said: Value, wanted: &[&str]) -> anyhow::Result<Self> {
        let measured: Self =
            serde_json::from_value(said).context("`ddpm evaluate`: expected an evaluation as its answer")?;
        for &id in wanted {
            let (name, reference) = id.split_once(':').unwrap_or((id, ""));
            ensure!(
                measured.metric(name, Some(reference)).is_some(),
                "`ddpm evaluate`: expected {id} in its answer; --data must be a folder with training and test images"
            );
        }
        Ok(measured)
    }

    pub(super) fn metric(&self, name: &str, reference: Option<&str>) -> Option<&MetricFacts> {
        self.metrics.iter().find(|metric| metric.name == name && metric.reference.as_deref() == reference)
    }

    /// The same with another name for a set of real images.
    pub(super) fn renamed(mut self, from: &str, to: &str) -> Self {
        let parts = self.references.iter_mut().map(|reference| &mut reference.part);
        let references = self.metrics.iter_mut().filter_map(|metric| metric.reference.as_mut());
        for name in parts.chain(references).filter(|name| **name == from) {
            to.clone_into(name);
        }
        self
    }
}
