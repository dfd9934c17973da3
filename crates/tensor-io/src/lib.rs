//! Conversions between libtorch tensors and slices, ndarray, and checked safetensors files.
//!
//! tch's own functions trust a file's header, broadcast wrong shapes into a model, or abort on a full disk. So
//! everything in this project goes through this crate instead. No pickle is ever read.

mod convert;
mod error;
mod load;
mod save;

pub use convert::{from_array, from_bytes, from_slice, to_array, to_vec};
pub use error::{Mismatch, TensorIoError};
pub use load::{
    Header, check_header, check_tensors, copy_into, load_into, parse_for, parse_header, read, read_floats,
    read_for, read_header,
};
pub use save::{save, serialize, serialize_with};

/// A tensor with its name in a file, for example `conv_in.weight`.
pub type Named = (String, tch::Tensor);
