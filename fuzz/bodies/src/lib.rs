//! Fuzz bodies: one function per parser of outside bytes or text, which parses and asserts.
//!
//! A body panics when the parser breaks a promise. The parser itself must not panic. What it accepts has the sizes it
//! claims, parses the same a second time, and reads back after writing. Bodies cap what they decode and do not touch
//! the disk (only `image_zip` and `image_tar` write a small file), so they run thousands of times a second. The same bodies run three
//! times: under cargo-fuzz (`fuzz/fuzz_targets`), over the committed corpus (`tests/corpus.rs`), and over random damage
//! to it (`tests/damage.rs`).

mod archive;
pub mod bombs;
mod cifar;
mod configuration;
mod diffusers;
mod gzip;
mod idx;
mod image_tar;
mod image_zip;
mod manifest;
mod npy;
mod npz;
mod parquet;
mod picture;
mod png;
mod seeds;
mod state_dict;
mod tar;
mod target;
mod tensor_file;
#[path = "../../../crates/dataset/src/tables/thrift/writer.rs"]
mod thrift;
mod tiff;
mod words;

pub use target::{TARGETS, Target, run};
