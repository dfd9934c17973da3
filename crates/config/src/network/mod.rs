//! The `[model]` group: the shape of a network, its presets, its checks and its cost.

mod layout;
mod params;
mod presets;
mod shape;
mod validate;
mod work;

pub use layout::{Activation, Layout, Middle, Resampling};
pub use params::Parameter;
pub use shape::{
    ADAPTER_DOWN, ADAPTER_UP, AUGMENTATIONS, DownsamplePadding, EmbeddingConfig, NetworkKind, SinusoidOrder,
    TimeForm, TimeInjection, UNetConfig, is_adapter,
};
pub use work::{Flop, Work};
