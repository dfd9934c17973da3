//! Conversions between libtorch tensors and slices, ndarray, and checked safetensors files.
//!
//! tch's own functions trust a file's header, broadcast wrong shapes into a model, or abort on a full disk. So
//! everything in this project goes through this crate instead. No pickle is ever read.
//! `cargo run -p tensor-io --example round_trip` converts pixels and saves weights.

mod convert;
mod error;
mod load;
mod pixels;
mod save;

pub use convert::{from_array, from_bytes, from_slice, to_array, to_vec};
pub use error::{Mismatch, TensorIoError};
pub use load::{
    Header, check_header, check_tensors, copy_into, load_into, parse_for, parse_header, read, read_floats,
    read_for, read_header,
};
pub use pixels::{from_pixels, to_pixels};
pub use save::{save, serialize, serialize_with};

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {ndarray, tch};

/// A tensor with its name in a file, for example `conv_in.weight`.
pub type Named = (String, tch::Tensor);
