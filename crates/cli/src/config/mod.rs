//! The configuration of a run: a preset, changed by a file, by `--set`, by flags; completed from the data.

mod classes;
mod data;
mod overrides;
mod presets;
mod resolve;
mod schedule;
mod suggest;
mod text;

use serde::{Deserialize, Serialize};
use trainer::TrainConfig;
use unet::UNetConfig;

pub(crate) use overrides::{Override, parse_set};
pub(crate) use presets::{PRESETS, preset_table};
pub(crate) use resolve::{Layers, Resolved};
pub(crate) use schedule::ScheduleConfig;
pub(crate) use suggest::nearest;
pub(crate) use text::{differences, from_toml, to_toml};

/// Everything that decides what a run computes; written to `config.toml`, and enough to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Of weights, data order, t, noise, dropout and samples.
    pub(crate) seed: u64,
    /// auto, f32 or bf16; resolved to one of the latter two.
    pub(crate) precision: String,
    pub(crate) data: DataConfig,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) model: UNetConfig,
    pub(crate) train: TrainConfig,
    pub(crate) sample: SampleConfig,
    /// What the data turned out to be; not for the user to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<ImagesConfig>,
}

/// Where the images are and how they are brought to one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataConfig {
    /// `fashion-mnist`, or a file or folder.
    pub(crate) source: String,
    /// Height and width to resize to; absent for images that all have one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<usize>,
    /// 1 for grey, 3 for colour; absent for what the images are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<usize>,
    /// How other aspect ratios become square: crop, stretch or pad.
    pub(crate) fit: String,
    /// A border of zeros brings height and width to multiples of this; absent for what the network needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pad_to_multiple: Option<usize>,
    /// Train on so many images only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// What to do about images that cannot be read: fail or skip.
    pub(crate) on_bad: String,
}

/// The sample grids of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleConfig {
    /// Images of a grid.
    pub(crate) count: usize,
    /// Solver.
    pub(crate) sampler: String,
    /// Its steps.
    pub(crate) steps: usize,
}

/// Size of the images as they are, and the border the network needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImagesConfig {
    /// Rows the network sees, border included.
    pub(crate) height: usize,
    /// Columns the network sees, border included.
    pub(crate) width: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
    /// Border of zeros: top, bottom, left, right. Cut off every image the program writes.
    pub(crate) padding: [usize; 4],
    /// How many images.
    pub(crate) count: usize,
    /// SHA-256 over sizes, pixels and labels.
    pub(crate) sha256: String,
    /// Names of the classes in label order; none for an unconditional network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) class_names: Vec<String>,
}

#[cfg(test)]
impl ImagesConfig {
    /// Square images without a border.
    pub(crate) fn square(side: usize, channels: usize) -> Self {
        Self {
            height: side,
            width: side,
            channels,
            padding: [0; 4],
            count: 1,
            sha256: String::new(),
            class_names: Vec::new(),
        }
    }
}
