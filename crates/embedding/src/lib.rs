//! Turns the time t of a diffusion model into a vector for its network: sinusoids of normalised t, transformer
//! sinusoids, Gaussian Fourier features. `cargo run -p embedding --example encode` prints some of these vectors.
//!
//! A network receives the time t as a vector of sines and cosines. Every kind here is one formula,
//!
//! ```text
//! sines_k = sin(omega_k t),  cosines_k = cos(omega_k t),  k in 0..K
//! ```
//!
//! and differs only in the angular frequencies `omega_k` (radians per step of t) and in which half comes
//! first. The 2K dimensions are two halves, `[all sines | all cosines]` or the reverse; sines and cosines
//! are never interleaved. [`TimeEmbedding::angular_frequencies`] and [`TimeEmbedding::order`] determine the
//! result, so that a network can compute the same thing on its own device.
//!
//! **Time index.** t runs over `0..T` (the paper counts `1..=T`). It is an f64 because fast samplers also
//! visit times between two steps.
//!
//! ```
//! use embedding::{EmbeddingKind, TimeEmbedding};
//! use ndarray::array;
//!
//! // 10 frequencies, from 1 cycle over the chain up to 500: 20 dimensions.
//! let embedding = TimeEmbedding::new(&EmbeddingKind::normalized(1000, 10))?;
//! let encoded = embedding.encode(array![0.0, 1.0, 500.0, 999.0].view());
//! assert_eq!(encoded.dim(), (4, 20));
//! # Ok::<(), embedding::EmbeddingError>(())
//! ```

mod check;
mod error;
mod fourier;
mod kind;
mod normalized;
mod time_embedding;
mod transformer;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use ndarray;

pub use error::EmbeddingError;
pub use kind::EmbeddingKind;
pub use normalized::Ladder;
pub use time_embedding::{Order, TimeEmbedding};

/// The fewest steps of a chain, so that there are times to distinguish.
pub const MIN_STEPS: usize = 2;
/// The most dimensions of an embedding.
pub const MAX_DIM: usize = 65_536;
