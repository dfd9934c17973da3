//! Opens the images that a training's configuration names, fills in the settings that follow from them, and records
//! their properties. The crate `config` handles text and numbers only.
//! `cargo run -p run-images --example open_data -- photos/` does so for a folder.

mod error;
mod open;
mod resolve;

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {config, dataset};

pub use error::DataError;
pub use open::{moved, open, order, settle_labels};
pub use resolve::{Resolved, resolve};
