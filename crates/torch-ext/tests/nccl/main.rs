//! NCCL's calls, made to a stand-in that works in host memory. Each thread of a test is a process of the group.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod built;
mod failures;
mod ranks;
