//! Ranks that choose how tensors travel, with a library that stands in for NCCL and works in host memory. Ranks are threads.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod built;
mod choice;
mod ranks;
mod sums;
