//! The `[model]` group: the shape of a network, its presets and its checks.

mod presets;
mod shape;
mod validate;

pub use presets::NETWORK_PRESETS;
pub use shape::{DownsamplePadding, EmbeddingConfig, SinusoidOrder, TimeForm, TimeInjection, UNetConfig};
