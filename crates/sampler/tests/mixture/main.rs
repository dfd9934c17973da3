//! All solvers against data whose best network and whose probability flow are known: pixels drawn from a mixture of
//! two Gaussians, of which one Gaussian is the special case.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod encode;
mod orders;
mod schedules;
mod stochastic;
mod world;
