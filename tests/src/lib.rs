//! End-to-end tests of the built `ddpm` program: a folder to run it in, and its results.
//!
//! The tests look at the program from outside, as a user's script would: exit code, standard output, standard error,
//! files. They link none of its crates.

pub mod animations;
pub mod arrays;
pub mod browser;
pub mod data;
#[cfg(unix)]
pub mod gpu_folder;
pub mod nodes;
mod output;
pub mod packages;
pub mod pipelines;
mod place;
pub mod ranks;
mod running;
pub mod schema;
pub mod tensors;
mod trained;

pub use output::Output;
pub use place::{Place, program};
pub use running::Running;
pub use trained::trained;
