//! The convolution with a weight gradient of our own against libtorch's: values, gradients, what is refused.
//!
//! On a processor without AMX the same tests see that libtorch's gradients come through unchanged.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agreement;
mod case;
mod mixed;
mod refusals;
