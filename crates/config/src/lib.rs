//! The configuration of a diffusion model and its training: reads TOML, `--set` and preset names, and checks them.
//! Nothing here needs libtorch, and no text makes it panic. `cargo run -p config --example settle` completes one for
//! photos, and shows what mistakes are answered.
//!
//! ```
//! use config::{ImageShape, Layers, parse_set};
//!
//! let set = [parse_set("train.lr=1e-4")?];
//! let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
//! let config = layers.settle(&ImageShape { height: 16, width: 16, channels: 1, classes: 0 })?;
//! assert_eq!((config.train.lr, config.model.channel_mults), (1e-4, vec![1, 2]));
//! # Ok::<(), config::ConfigError>(())
//! ```

mod choices;
mod classes;
mod data;
mod differences;
mod draft;
mod effects;
mod error;
mod file;
mod freeze;
mod image_size;
mod init;
mod layers;
mod nesting;
mod network;
mod objective;
mod objectives;
mod overrides;
mod presets;
mod reference;
mod resume;
mod run;
mod schedule;
mod sizes;
mod suggest;
mod text;
mod train;

pub use choices::{LearnedVariance, Loss, LrDecay, OnNan, Optimizer, Pairing, TimeSampling};
pub use data::{BadImages, DataConfig, DataOrder, ImageFit};
pub use differences::{Change, changes, differences};
pub use draft::ImageShape;
pub use error::ConfigError;
pub use file::{UserFile, from_toml, read_run, to_toml};
pub use freeze::matches;
pub use image_size::{ImageSize, NoImageSize};
pub use init::InitConfig;
pub use layers::{Layers, Settled};
pub use network::{
    ADAPTER_DOWN, ADAPTER_UP, AUGMENTATIONS, Activation, DownsamplePadding, EmbeddingConfig, Flop, Layout,
    Middle, NetworkKind, Parameter, Resampling, SinusoidOrder, TimeForm, TimeInjection, UNetConfig, Work,
    is_adapter,
};
pub use objectives::OBJECTIVES;
pub use overrides::{Override, parse_set};
pub use presets::{PRESETS, preset_table};
pub use reference::{Choice, Defaults, GROUPS, Group, Key, Kind, to_commented_toml};
pub use resume::{MAY_CHANGE, check_resume};
pub use run::{Config, ImagesConfig, Preferred, SampleConfig};
pub use schedule::ScheduleConfig;
pub use suggest::nearest;
pub use text::parse;
pub use train::TrainConfig;
