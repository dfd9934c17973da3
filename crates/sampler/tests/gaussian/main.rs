//! The whole sampler against a closed form: for data from N(mu, s^2 I) the optimal network is known and every reverse
//! step is affine, so the distribution of the samples is known exactly.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod recover;
mod vary;
mod world;
