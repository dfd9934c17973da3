//! Reads diffusion models of other programs (diffusers, improved-diffusion, guided-diffusion), and writes them for
//! others (diffusers, ONNX): finds a model's files, and translates its configuration to this project's terms. An
//! unsupported key or value is an error that names both; nothing is ignored silently. The code that builds the network
//! reads the weights, in the order of [`diffusers::Model::weights`] or as [`state_dict::Model::weights`] says.
//!
//! [`onnx`] writes a network for ONNX runtimes; `cargo run -p interchange --example export -- out.onnx` does so.
//!
//! No file is trusted: sizes are bounded, file names cannot lead elsewhere, and numbers are checked before they are
//! used.

pub mod diffusers;
mod error;
pub mod guided;
mod keys;
pub mod onnx;
pub mod original;
mod parts;
mod run;
pub mod state_dict;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use config;

pub use error::InterchangeError;
