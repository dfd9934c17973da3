//! The fused group normalisation against libtorch's own operations: values, gradients, refusals.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod branch;
mod case;
mod refusals;
mod special;
