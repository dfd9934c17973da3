//! Saves the checkpoints of a training run so that a crash never leaves half of one, and finds the newest that is sound.
//! A checkpoint is a folder: `step-00001000/` holds the model, its average, the optimiser, the state, the configuration,
//! and a manifest of sizes and hashes. `cargo run -p checkpoints --example save_and_find` writes some and damages one.
//!
//! A folder is built under a hidden name: every file is synced, the manifest last, then the folder. It is then renamed,
//! and its parent is synced. So a checkpoint is complete or absent. The latest checkpoint is the one with the highest
//! step whose manifest verifies, so there is no pointer that could be wrong. The trainer makes the files and interprets
//! their numbers, so this crate does not need libtorch.
//!
//! Writing, rotating and cleaning up require the run's lock; reading does not.

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
