//! Between libtorch tensors and the world: slices, ndarray, checked safetensors files.
//!
//! tch's own ways in and out trust a file's header, broadcast wrong shapes into a model, or abort on a
//! full disk; everything of this project goes through here instead. No pickle is ever read.

mod convert;
mod error;
mod load;
mod save;

pub use convert::{from_array, from_bytes, from_slice, to_array, to_vec};
pub use error::{Mismatch, TensorIoError};
pub use load::{
    Header, check_header, check_tensors, copy_into, load_into, parse_for, read, read_for, read_header,
};
pub use save::{save, serialize, serialize_with};

/// A tensor and the name it has in a file, `conv_in.weight` for example.
pub type Named = (String, tch::Tensor);
