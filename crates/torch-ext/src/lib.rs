//! The one crate with unsafe code: what libtorch offers and tch does not bind, behind safe functions.

mod cpu;
mod cuda;

pub use cpu::{cpu_features, cpu_has_bf16};
pub use cuda::{CudaError, CudaPart, load_cuda_part};
