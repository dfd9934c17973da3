//! The complete configuration of a run: a preset, overridden by a file, by `--set` and by flags, and completed from the
//! data.

use ::embedding::TimeEmbedding;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::DataConfig;
use crate::error::ConfigError;
use crate::init::InitConfig;
use crate::network::{EmbeddingConfig, UNetConfig};
use crate::reference::expected;
use crate::schedule::ScheduleConfig;
use crate::train::TrainConfig;

/// Everything that decides what a run computes. It is written to `config.toml`, and suffices to repeat the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of weights, data order, t, noise, dropout and samples.
    pub seed: u64,
    /// auto, f32, tf32 (GPUs only) or bf16; auto is resolved to one of the others.
    pub precision: String,
    /// The run's id, see [`Config::fingerprint`]; not settable by the user. Runs of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where the images are.
    pub data: DataConfig,
    /// How much noise each t has.
    pub schedule: ScheduleConfig,
    /// The network.
    pub model: UNetConfig,
    /// Training settings.
    pub train: TrainConfig,
    /// How a run shows its progress.
    pub sample: SampleConfig,
    /// Properties of the images; not settable by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesConfig>,
    /// The weights that the run started from; absent if they were drawn at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitConfig>,
}

/// The sample grids of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// Images per grid.
    pub count: usize,
    /// Solver.
    pub sampler: String,
    /// Sampling steps.
    pub steps: usize,
    /// The preferred way of sampling, if the network's author specified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<Preferred>,
}

/// A way of sampling that comes with a network from another program. Its t and levels are chosen as in the Python
/// library `diffusers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferred {
    /// Solver.
    pub sampler: String,
    /// Sampling steps.
    pub steps: usize,
    /// Which t are visited: leading, trailing or linspace.
    pub spacing: String,
    /// Use levels evenly spaced in a function of the noise instead: karras, exponential or lu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warp: Option<String>,
    /// Added to every t.
    #[serde(default)]
    pub steps_offset: usize,
    /// Whether sampling ends at the noise level of t = 0 rather than at the image.
    #[serde(default)]
    pub ends_at_first_step: bool,
    /// How predicted images outside [-1, 1] are handled: off, clip or dynamic.
    pub threshold: String,
    /// Whether a step keeps the network's eps when the predicted x_0 is clipped to [-1, 1].
    #[serde(default)]
    pub keeps_eps: bool,
    /// Whether x_T has the standard deviation of its noise level rather than 1.
    #[serde(default)]
    pub scales_start: bool,
    /// Variance of the noise of ddpm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<String>,
    /// Noise of ddim and euler-ancestral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Order of unipc and deis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
}

/// Size of the images, and the border that the network needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesConfig {
    /// Height for the network, border included.
    pub height: usize,
    /// Width for the network, border included.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Border of zeros: top, bottom, left, right. It is cut off every image the program writes.
    pub padding: [usize; 4],
    /// Number of images.
    pub count: usize,
    /// SHA-256 over sizes, pixels and labels; for images that do not fit in memory, `index:` and the SHA-256 over names,
    /// sizes and labels.
    pub sha256: String,
    /// Class names in label order; empty for an unconditional network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Classes that no image has, so the network has not learned them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_classes: Vec<usize>,
}

/// Maximum height or width of an image, for images and networks.
pub(crate) const MAX_SIDE: usize = 1 << 16;

impl Config {
    /// Checks every group, and the groups against each other. Samplers and their step counts are not checked, since
    /// they are not known here.
    ///
    /// # Errors
    /// The first mistake, always a usage error.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let path = self.schedule.path()?;
        self.model.validate()?;
        if let Some(kind) = self.model.embedding.kind(self.schedule.steps) {
            TimeEmbedding::new(&kind).map_err(|error| ConfigError::Embedding { error })?;
        }
        if let EmbeddingConfig::Table { rows, .. } = self.model.embedding
            && rows != self.schedule.steps
        {
            let expected = format!("schedule.steps, {}", self.schedule.steps);
            return Err(ConfigError::value("model", "embedding.rows", rows, expected));
        }
        self.train.validate()?;
        self.train.validate_on(&*path, &self.schedule.kind)?;
        let outputs = self.model.in_channels * self.train.outputs_per_channel();
        if self.model.augmented != (self.train.augment > 0.0) {
            let expected = "false, or train.augment above 0".to_owned();
            return Err(ConfigError::value("model", "augmented", self.model.augmented, expected));
        }
        if self.model.out_channels != outputs {
            let expected = match self.train.outputs_per_channel() {
                1 => format!("in_channels, {outputs}"),
                _ => format!(
                    "twice in_channels, {outputs}: one half is the variance (train.variance = learned)"
                ),
            };
            return Err(ConfigError::value("model", "out_channels", self.model.out_channels, expected));
        }
        if !self.train.freeze.is_empty() {
            let _ = self.train.frozen(self.model.parameters().iter().map(|(name, _)| name.as_str()))?;
        }
        if self.sample.count == 0 || self.sample.count > 4096 {
            return Err(ConfigError::value(
                "sample",
                "count",
                self.sample.count,
                expected("sample", "count"),
            ));
        }
        self.data.fit()?;
        self.data.on_bad()?;
        self.data.unpacked_limit()?;
        self.data.memory()?;
        self.data.group_images()?;
        if let Some(images) = &self.images {
            images.validate()?;
        }
        match self.precision.as_str() {
            "auto" | "f32" | "tf32" | "bf16" => Ok(()),
            other => Err(ConfigError::Precision { got: other.to_owned() }),
        }
    }
}

impl Config {
    /// The id of a run that starts with this configuration: 16 hexadecimal digits of a SHA-256 over everything that
    /// decides its numbers, which excludes the paths of images and weights. A run keeps the id it started with.
    ///
    /// Runs with the same start share an id. Their checkpoints are identical, so mixing them up does no harm.
    ///
    /// # Errors
    /// [`ConfigError::Write`].
    pub fn fingerprint(&self) -> Result<String, ConfigError> {
        let data = DataConfig { source: String::new(), memory: None, ..self.data.clone() };
        let init = self.init.as_ref().map(|init| InitConfig { from: String::new(), ..init.clone() });
        let text = crate::file::to_toml(&Self { id: None, data, init, ..self.clone() })?;
        Ok(Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl ImagesConfig {
    /// Checks that such images are possible, which is true for every file the program writes, but not for every edited
    /// one.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |field, got: &dyn ToString, expected: String| {
            Err(ConfigError::value("images", field, got.to_string(), expected))
        };
        for (field, side) in [("height", self.height), ("width", self.width)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return refuse(field, &side, format!("1 to {MAX_SIDE}"));
            }
        }
        if ![1, 3].contains(&self.channels) {
            return refuse("channels", &self.channels, "1 or 3".to_owned());
        }
        let [top, bottom, left, right] = self.padding;
        if top.saturating_add(bottom) >= self.height || left.saturating_add(right) >= self.width {
            let expected = format!("a border smaller than the images, {}x{}", self.width, self.height);
            return refuse("padding", &format!("{:?}", self.padding), expected);
        }
        Ok(())
    }

    /// Height and width without the border for the network, and channels.
    #[must_use]
    pub fn inner_shape(&self) -> (usize, usize, usize) {
        let [top, bottom, left, right] = self.padding;
        let inner = |side: usize, border: usize| side.saturating_sub(border);
        (inner(self.height, top + bottom), inner(self.width, left + right), self.channels)
    }

    /// Describes a square image of `side` pixels, without a border or a hash.
    #[must_use]
    pub fn square(side: usize, channels: usize) -> Self {
        Self {
            height: side,
            width: side,
            channels,
            padding: [0; 4],
            count: 1,
            sha256: String::new(),
            class_names: Vec::new(),
            absent_classes: Vec::new(),
        }
    }

    /// The labels that a network with this many classes has learned from these images, in ascending order.
    #[must_use]
    pub fn learned_classes(&self, classes: usize) -> Vec<i64> {
        // A network may have more classes than the data, which has a name for each of its own.
        let named = if self.class_names.is_empty() { classes } else { self.class_names.len().min(classes) };
        (0..named).filter(|label| !self.absent_classes.contains(label)).map(|label| label as i64).collect()
    }
}
