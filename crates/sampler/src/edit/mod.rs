//! Algorithms that start from an image instead of noise, one per file: variations, interpolation, encoding, and
//! inpainting.

mod encode;
mod inpaint;
mod interpolate;
mod known;
mod resampling;
mod vary;

pub use encode::Encoder;
pub use interpolate::{Blend, blend, shares};
pub use known::Known;
pub use resampling::Resampling;
