//! The convolution with our own weight gradient against libtorch's: values, gradients, refusals.
//!
//! On a processor without AMX the same tests check that libtorch's gradients come through unchanged.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod case;
mod mixed;
mod refusals;
