//! A configuration with the images that it is about. The crate `config` knows texts and numbers alone; here the images are
//! opened, what follows from them is filled in, and what they turned out to be is written down.

mod error;
mod open;
mod resolve;

pub use error::DataError;
pub use open::{moved, open, settle_labels};
pub use resolve::{Resolved, resolve};
