//! Reads and writes folders of unconditional models in the layout of the Python library `diffusers`.
//!
//! ```text
//! model_index.json                        the class of each part; optional
//! unet/config.json                        the network
//! unet/diffusion_pytorch_model.safetensors
//! scheduler/scheduler_config.json         the noise schedule, and how to sample
//! ```
//!
//! In the old layout the three files are in the folder itself. Large weights are split into several files with an
//! index.

mod folder;
mod names;
mod scheduler;
mod unet2d;
mod write;

pub use folder::{Model, is_model, open, parse_shards};
pub use names::current as current_name;
pub use scheduler::{Scheduler, parse_scheduler};
pub use unet2d::{Network, parse_network, read_network};
pub use write::{Table, Written, write};
