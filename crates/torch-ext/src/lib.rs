//! Operations on libtorch tensors that tch does not have, such as fused normalisation, Adam and activation checkpointing,
//! as safe functions. `cargo run -p torch-ext --example fused` compares one with libtorch's own.
//!
//! It is the only crate of this project with unsafe code. The C++ is in `cpp/`. A tch tensor's pointer is a
//! `torch::Tensor*`, and tensors are passed to C++ in that form.

mod adam;
mod buckets;
mod checkpoint;
mod collective;
mod conv;
mod cpu;
mod cuda;
mod determinism;
mod device;
mod dropout;
mod error;
mod ffi;
mod generator;
mod group_norm;
mod inference;
mod join;
mod layout;
mod memory;
mod plain;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use tch;

pub use adam::{AdamStep, adam_step, adam_step_takes, forget_gradient, joint_norm};
pub use buckets::backward_in_buckets;
pub use checkpoint::checkpoint;
pub use collective::{
    Collective, Meeting, Nccl, NcclId, NcclLibrary, NcclSum, Pending, StoreServer, gpu_uuid,
};
pub use conv::{WeightGradient, conv2d, conv2d_is_fast, conv2d_with};
pub use cpu::{CpuIsa, bf16_obstacle, cpu_features, cpu_has_bf16, cpu_isa_limit};
pub use cuda::{CudaError, CudaPart, load_cuda_part};
pub use determinism::{deterministic, set_deterministic};
pub use device::{
    Download, Function, ListedAdam, Recorder, listed_adam, listed_average, listed_norm, pinned, set_tf32,
    tf32,
};
pub use dropout::{dropout, dropout_with};
pub use error::TorchExtError;
pub use generator::{Generators, generator_state, set_generator_state};
pub use group_norm::{GroupNorm, Modulation, Vectors, group_norm, group_norm_branch, group_norm_with};
pub use inference::inference_mode;
pub use join::join_channels;
pub use layout::{channels_last, is_channels_last};
pub use memory::keep_freed_memory;
