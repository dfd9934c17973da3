//! Models in the layouts of other programs: which files belong to one, and what their configurations say in this project's
//! terms. A key or a value that is not supported is an error that names both, and nothing is passed over in silence. Weights are
//! read by whoever builds the network, in the order of [`diffusers::Model::weights`], or as [`state_dict::Model::weights`] says.
//!
//! [`onnx`] writes a network for programs that run ONNX.
//!
//! Every file is taken for a stranger's: sizes are bounded, names of files lead nowhere else, and numbers are checked before
//! anything is made of them.

pub mod diffusers;
mod error;
pub mod guided;
mod keys;
pub mod onnx;
pub mod original;
mod parts;
mod run;
pub mod state_dict;

pub use error::InterchangeError;
