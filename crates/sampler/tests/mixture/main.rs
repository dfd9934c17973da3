//! All solvers against data whose optimal network and probability flow are known: pixels drawn from a mixture of two
//! Gaussians, with a single Gaussian as the special case.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod encode;
mod orders;
mod schedules;
mod stochastic;
mod world;
