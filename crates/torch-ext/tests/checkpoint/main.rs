//! Activation checkpointing against the same work without it: bits, randomness, errors, refusals.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod failures;
mod piece;
mod randomness;
