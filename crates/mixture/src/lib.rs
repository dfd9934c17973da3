//! A mixture of Gaussians fitted to images, as the start of a sampler.
//!
//! Where the noise is about as strong as the signal or stronger, `x_t` keeps so little of an image that a mixture of a few dozen Gaussians describes
//! its distribution well. Samples of the mixture with that noise replace the first steps of a sampler, which are many:
//! the network only does what the mixture cannot. Wang and Vastola (2024, "The Unreasonable Effectiveness of Gaussian Score
//! Approximation for Diffusion Models and its Applications") skip the first steps in this way with one Gaussian.
//!
//! All components lie in the span of the images' first principal components, with full covariances there. What the images vary
//! outside it counts as noise, of the same variance in every direction. [`Fit`] fits a [`Mixture`], and
//! [`Mixture::start`] draws from it. `cargo run -p mixture --example two_kinds` shows both.

mod clusters;
mod component;
mod directions;
mod error;
mod file;
mod fit;
mod start;

pub use error::MixtureError;
pub use fit::Fit;
pub use start::Mixture;

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {schedule, tch};
