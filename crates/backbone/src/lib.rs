//! Building blocks for the networks of diffusion models, on libtorch: parameters drawn from a seed, layers that use this
//! machine's fast paths, the time and label vector, the settings of a pass, and a predictor for sampling. A network is a
//! [`Backbone`]; the crate `unet` has one, and `cargo run -p backbone --example own_network` another in 20 lines.

mod activation;
mod adapters;
mod backbone;
mod error;
mod labels;
pub mod layers;
mod params;
mod pass;
mod predictor;
mod time;

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {config, tch};

pub use activation::activate;
pub use adapters::merged;
pub use backbone::{Backbone, Facts};
pub use error::BackboneError;
pub use labels::NO_LABEL;
pub use params::{ParamStore, Params, Role};
pub use pass::{Ops, Pass};
pub use predictor::Predictor;
pub use tensor_io::{Named, TensorIoError};
pub use time::TimeNet;
pub use torch_ext::Modulation;
