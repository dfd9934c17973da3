//! How close two sets of images are, by features that some network computed for each: numbers in f64, without
//! libtorch.
//!
//! | what | from | says |
//! |---|---|---|
//! | [`frechet_distance`] | Heusel et al. 2017, Eq. 6 | how far mean and covariance are apart |
//! | [`frechet_interval`] | van der Vaart 1998, Ch. 20 | how far that would move with other samples |
//! | [`kernel_distance`] | Binkowski et al. 2018, Sec. 4 | the same by all moments up to the third, without bias |
//! | [`neighbours`] | Kynkaanniemi et al. 2019, Naeem et al. 2020 | what share looks right, and what share is covered |
//! | [`inception_score`] | Salimans et al. 2016, Sec. 4 | whether classes are clear and all present |
//! | [`copying`] | ranks of distances to the nearest sample | whether samples repeat what was trained on |
//! | [`sliced_wasserstein`] | Rabin et al. 2011 | distance of the sets as distributions, by projections |
//!
//! A number can be compared only with others on the same features; this crate does not know which those are. Features
//! are arrays or views of f32 or f64. They are converted to f64 in blocks, so little extra memory is needed. The work
//! runs on all threads of rayon's pool; a result is the same bits for any number of them.
//! `cargo run -p metrics --example compare` compares sets that are ever further apart.
//!
//! ```
//! use metrics::{Moments, frechet_distance};
//! use ndarray::array;
//!
//! let here = Moments::of(&array![[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])?;
//! let there = Moments::of(&array![[3.0, 0.0], [5.0, 0.0], [3.0, 2.0], [5.0, 2.0]])?;
//! // The same shape, moved by 3.
//! assert!((frechet_distance(&here, &there)? - 9.0).abs() < 1e-9);
//! # Ok::<(), metrics::MetricsError>(())
//! ```

mod copying;
mod error;
mod feature;
mod frechet;
mod inception;
mod interval;
mod kernel;
mod linear;
mod moments;
mod neighbours;
mod sliced;
mod tridiagonal;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use ndarray;

pub use copying::{Copying, Nearest, copying, nearest};
pub use error::MetricsError;
pub use feature::Feature;
pub use frechet::{frechet_distance, frechet_interval};
pub use inception::inception_score;
pub use interval::{Interval, bootstrap};
pub use kernel::{KernelDistance, Subset, kernel_distance, kernel_distance_of, kernel_error};
pub use moments::Moments;
pub use neighbours::{Neighbours, neighbours};
pub use sliced::sliced_wasserstein;
