//! What starts from an image instead of from noise, one algorithm a file: variations, interpolation, the noise that an
//! image stems from, and images of which a part is known.

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
