//! Combines a configuration with its images. The crate `config` handles text and numbers only. This crate opens the
//! images, fills in the settings that follow from them, and records their properties.

mod error;
mod open;
mod resolve;

pub use error::DataError;
pub use open::{moved, open, order, settle_labels};
pub use resolve::{Resolved, resolve};
