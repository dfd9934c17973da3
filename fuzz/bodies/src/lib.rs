//! What is fuzzed: for each parser of bytes or text from outside, a function that parses and asserts.
//!
//! A body panics when the parser breaks a promise. That it does not panic itself is one of them; the others are that
//! what it takes has the sizes it claims, that a second look gives the same, and that what is written reads back.
//! Bodies cap what they decode and touch no disk (`image_zip` alone writes a small file), so that they run thousands of times
//! a second. The same bodies run
//! three times: under cargo-fuzz (`fuzz/fuzz_targets`), over the committed corpus (`tests/corpus.rs`), and over random
//! damage to it (`tests/damage.rs`).

mod archive;
pub mod bombs;
mod cifar;
mod configuration;
mod diffusers;
mod gzip;
mod idx;
mod image_zip;
mod manifest;
mod npy;
mod npz;
mod picture;
mod png;
mod seeds;
mod state_dict;
mod target;
mod tensor_file;
mod words;

pub use target::{TARGETS, Target, run};
