//! Checkpoint folders: `step-00001000/` with the model, its average, the optimiser, the position and the
//! configuration, and a manifest of sizes and hashes.
//!
//! A folder is built under a hidden name, every file synced, the manifest last, the folder synced, then
//! renamed, and the folder above synced: a checkpoint is complete or not there. "Latest" is the highest step
//! whose manifest verifies, so there is no pointer that could be wrong. What makes the files, and what reads
//! the numbers in them, is above this crate, which is why it needs no libtorch.
//!
//! Whoever writes, rotates or clears away holds the lock of the run; reading needs none.

mod agreement;
mod checkpoint;
mod error;
mod layout;
mod leftovers;
mod list;
mod manifest;
mod read;
mod rotate;
mod state;
mod verify;
mod write;

pub use checkpoint::Checkpoint;
pub use error::CheckpointError;
pub use layout::{AVERAGES, CONFIG, EMA, FILES, MANIFEST, MODEL, OPTIMIZER, STATE, folder_name, step_of};
pub use leftovers::{remove_leftovers, set_aside_after};
pub use list::{latest, list, newest_sound};
pub use manifest::{MAX_FILES, Manifest, ManifestEntry};
pub use read::MAX_JSON_BYTES;
pub use rotate::{keep_only, rotate};
pub use state::{FORMAT_VERSION, State};
pub use verify::verify;
pub use write::Writer;
