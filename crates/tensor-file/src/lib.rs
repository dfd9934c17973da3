//! Reads safetensors files, and checks every claim of the header before allocating anything for it.
//! `cargo run -p tensor-file --example list_tensors -- model.safetensors` lists what is in one.
//!
//! A file has eight bytes of header length (little-endian), the header, and the data without holes or overlaps. The
//! header is JSON that maps each name to `dtype`, `shape` and `data_offsets`, with strings under `__metadata__`
//! (<https://github.com/huggingface/safetensors>, "Format"). The `safetensors` crate parses a buffer that holds the
//! whole file; here the header alone decides whether the file is worth reading.
//!
//! ```
//! # use std::path::Path;
//! let text = r#"{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#;
//! let bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &[0; 8]].concat();
//! let header = tensor_file::parse(Path::new("w.safetensors"), &bytes)?;
//! assert_eq!(header.tensors["w"].shape, [2]);
//! # Ok::<(), tensor_file::TensorFileError>(())
//! ```

mod dtype;
mod error;
mod file;
mod header;
mod json;
mod limits;

pub use dtype::Dtype;
pub use error::TensorFileError;
pub use file::{TensorFile, read_header};
pub use header::{Header, TensorInfo, parse};
pub use limits::{MAX_FILE_BYTES, MAX_HEADER_BYTES, MAX_METADATA, MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS};
