//! Activation checkpointing against the same work without: bits, randomness, errors, what is refused.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod failures;
mod piece;
mod randomness;
