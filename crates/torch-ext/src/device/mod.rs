//! GPU work that runs while the host goes on: streams, recordings, transfers, and updates without a value that the host
//! would need to know. On the CPU the same functions run at once.

mod event;
mod graph;
mod recorder;
mod stream;
mod tf32;
mod transfer;
mod update;

pub(crate) use event::Event;
pub use recorder::{Function, Recorder};
pub(crate) use stream::{OnDevice, native_stream};
pub use tf32::{set_tf32, tf32};
pub use transfer::{Download, pinned};
pub use update::{ListedAdam, listed_adam, listed_average, listed_norm};
