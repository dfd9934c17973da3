//! The processes, called ranks, that train or sample together: which of them this one is, and what they compute together.
//!
//! A launcher starts the same program several times and tells each process its place by environment variables ([`Place`]):
//! torchrun, Slurm's srun, or `ddpm launch`. [`World`] is the connection to the others. Without a launcher there is a world of
//! one, in which every operation does nothing. Example: `cargo run -p distributed --example sum`.
//!
//! ```
//! use distributed::World;
//!
//! let world = World::alone();
//! let mut gradient = distributed::tch::Tensor::from_slice(&[1.0_f32, 2.0]);
//! world.sum("the gradients", &mut gradient)?;
//! assert_eq!((world.rank(), world.size()), (0, 1));
//! # Ok::<(), distributed::DistributedError>(())
//! ```

mod error;
mod offer;
mod place;
mod server;
mod slurm;
mod transport;
mod variables;
mod world;

/// Re-export of the crate in the interface.
pub use tch;

pub use error::DistributedError;
pub use place::Place;
pub use server::Server;
pub use transport::Transport;
pub use variables::{REDUCE, SHARD_STATE, TIMEOUT, TRANSPORT};
pub use world::{Begun, World};
