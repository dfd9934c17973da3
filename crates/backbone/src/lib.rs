//! What the networks of this project have in common, whatever their shape: parameters drawn from a seed, layers that know the
//! fast paths of this machine, time and labels as a vector, how a pass is run, a predictor for sampling. A network is a
//! [`Backbone`]; the crate `unet` has one.

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

pub use activation::activate;
pub use adapters::merged;
pub use backbone::{Backbone, Facts};
pub use error::BackboneError;
pub use labels::NO_LABEL;
pub use params::{ParamStore, Params, Role};
pub use pass::{Ops, Pass};
pub use predictor::Predictor;
pub use time::TimeNet;
