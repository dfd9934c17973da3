//! Several ranks train one network: the numbers of one process, the same decisions on all ranks, and one folder.
//!
//! The ranks are threads of one process; crate `distributed` connects processes.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod divided;
mod early;
mod failures;
mod later;
mod overlap;
mod runs;
mod threads;
