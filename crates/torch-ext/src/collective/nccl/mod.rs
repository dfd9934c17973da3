//! Sums and broadcasts of tensors in the memory of GPUs, by NCCL.
//!
//! libtorch's own class for it needs headers of CUDA and NCCL. But the library, which comes into the process with libtorch's
//! CUDA part, has a small interface in C that changes little between versions. `library.rs` declares the part that is used.
//! Everything else, such as the bytes by which processes find each other, goes through [`super::Collective`].

mod gpu;
mod group;
mod library;
mod waiting;

pub use gpu::gpu_uuid;
pub use group::{Nccl, NcclSum};
pub use library::{NcclId, NcclLibrary};
