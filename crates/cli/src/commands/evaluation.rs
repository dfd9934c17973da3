//! An evaluation as `ddpm evaluate` writes it (`evaluations/step-NNNNNNNN.json` of a run, `evaluation.json`), and as the report
//! and `ddpm compare` read it. Fields that later versions add are ignored.

use serde::{Deserialize, Serialize};

/// An evaluation: its numbers, and everything that decides whether they can be compared with others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// What was evaluated, for people.
    #[serde(default)]
    pub(crate) what: String,
    /// The run folder, if there is one.
    pub(crate) run: Option<String>,
    /// Training steps of the checkpoint.
    pub(crate) step: Option<u64>,
    /// `ema` or `raw`.
    pub(crate) weights: Option<String>,
    /// Number of samples; `n` in files of earlier versions.
    #[serde(rename = "images", alias = "n")]
    pub(crate) n: usize,
    /// Seed of the samples and of random subsets.
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) sampler: Option<String>,
    pub(crate) steps: Option<usize>,
    pub(crate) guidance: Option<f64>,
    /// All other sampling settings: `eta 1, threshold off`.
    pub(crate) settings: Option<String>,
    /// Classes that the samples cycle through.
    pub(crate) classes: Option<Vec<i64>>,
    pub(crate) features: Option<FeaturesRecord>,
    #[serde(default)]
    pub(crate) references: Vec<ReferenceRecord>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) bits: Option<Bits>,
    pub(crate) copying: Option<CopyingRecord>,
    #[serde(default)]
    pub(crate) seconds: f64,
    #[serde(default)]
    pub(crate) machine: String,
}

/// The features that the distances use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeaturesRecord {
    pub(crate) name: String,
    pub(crate) width: usize,
    /// SHA-256 of the network's weights; `None` for given features.
    pub(crate) sha256: Option<String>,
    pub(crate) resize: String,
}

/// A set of real images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReferenceRecord {
    /// `train` or `test`.
    pub(crate) part: String,
    /// Where the images are.
    pub(crate) data: String,
    /// `count` in files of earlier versions.
    #[serde(rename = "images", alias = "count")]
    pub(crate) count: usize,
    /// SHA-256 of sizes, pixels and labels, or of given features.
    pub(crate) sha256: Option<String>,
}

/// A number, with a 95 % interval if one is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The part it was compared with; `None` for a metric of the samples alone.
    pub(crate) reference: Option<String>,
    pub(crate) value: f64,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    /// `lower` or `higher`.
    pub(crate) better: String,
}

/// Bits per dimension by noise level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bits {
    pub(crate) reference: String,
    #[serde(rename = "images", alias = "n")]
    pub(crate) n: usize,
    /// `L_T`.
    pub(crate) prior: f64,
    /// `L_0`.
    #[serde(default)]
    pub(crate) decoder: f64,
    pub(crate) total: f64,
    /// `(t, L_t)`.
    pub(crate) by_t: Vec<(f64, f64)>,
}

/// The test for copies of training images, in features and in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyingRecord {
    /// Whether the samples repeat training images.
    pub(crate) flagged: bool,
    /// The larger of the two shares.
    pub(crate) share: f64,
    /// The smaller of the two p-values, times 2 where there are two.
    pub(crate) p_value: f64,
    /// A p-value below it is flagged.
    pub(crate) alpha: f64,
    /// A share below it is not flagged.
    #[serde(default)]
    pub(crate) least_share: f64,
    /// Training and held-out images that were compared.
    #[serde(default)]
    pub(crate) train: usize,
    #[serde(default)]
    pub(crate) held_out: usize,
    /// Results for each distance.
    #[serde(default)]
    pub(crate) by: Vec<CopyingBy>,
}

/// The test with one distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyingBy {
    pub(crate) distance: String,
    pub(crate) share: f64,
    pub(crate) p_value: f64,
}

impl Evaluation {
    /// The metric with this name and reference.
    pub(crate) fn metric(&self, name: &str, reference: Option<&str>) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name && metric.reference.as_deref() == reference)
    }
}
