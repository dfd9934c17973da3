//! Noise schedules of diffusion models: betas, alphas, alpha_bars and what follows from them.
//! `cargo run -p schedule --example tables` prints two of them.
//!
//! The forward process of DDPM (Ho et al. 2020, Eq. 2 and 4) adds Gaussian noise in `T` steps,
//!
//! ```text
//! q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)
//! q(x_t | x_0)     = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)
//! alpha_t = 1 - beta_t,   alpha_bar_t = alpha_0 alpha_1 ... alpha_t
//! ```
//!
//! **Time index.** `t` runs over `0..T` here, where the paper counts `1..=T`: index 0 is the first noising
//! step, and the data itself, the paper's `x_0`, has no index. All tables are f64; a value is rounded to
//! the images' own type once, when it is used.
//!
//! **Variance or deviation.** The paper writes covariances, `N(mean, beta_t I)`. Code that draws noise
//! multiplies by the square root; here names say which one it is: `*_variance` and `betas` are variances,
//! `sigmas` and `sqrt_*` are standard deviations.
//!
//! ```
//! use ndarray::{ArrayD, IxDyn};
//! use schedule::{Schedule, Spacing, timesteps};
//!
//! let schedule = Schedule::ddpm();
//! assert!((schedule.alpha_bars()[999] - 4.0358e-5).abs() < 1e-9);
//!
//! // Two images at their own times, [b, c, h, w].
//! let x_0 = ArrayD::<f32>::ones(IxDyn(&[2, 1, 4, 4]));
//! let eps = ArrayD::<f32>::zeros(x_0.raw_dim());
//! let x_t = schedule.q_sample(&x_0, &[0, 999], &eps)?;
//! assert!(x_t[[0, 0, 0, 0]] > 0.999 && x_t[[1, 0, 0, 0]] < 0.01);
//!
//! // A chain of 50 steps with the same alpha_bar at the steps it keeps.
//! let short = schedule.respace(&timesteps(Spacing::Trailing, 1000, 50)?)?;
//! assert_eq!(short.schedule.alpha_bars()[49], schedule.alpha_bars()[999]);
//! # Ok::<(), schedule::ScheduleError>(())
//! ```

mod batch;
pub mod beta;
mod beta_schedule;
mod between;
mod continuous;
mod error;
mod forward;
mod level;
mod loss_weight;
mod names;
mod path;
mod posterior;
mod prediction;
mod respace;
mod spacing;
mod tables;
mod terminal_snr;
mod variance;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use ndarray;

pub use batch::Element;
pub use beta_schedule::BetaSchedule;
pub use between::Posterior;
pub use continuous::{Continuous, ContinuousPath};
pub use error::ScheduleError;
pub use level::Level;
pub use loss_weight::LossWeight;
pub use path::NoisePath;
pub use prediction::{Form, Prediction, Target};
pub use respace::Respaced;
pub use spacing::{Spacing, timesteps};
pub use tables::Schedule;
pub use terminal_snr::rescale_to_zero_terminal_snr;
pub use variance::Variance;

/// The fewest steps of a chain: with one step there is no chain to reverse.
pub const MIN_STEPS: usize = 2;
/// The most steps of a chain, a thousand times the paper's; a table of that many stays small (8 MB).
pub const MAX_STEPS: usize = 1_000_000;
/// The largest share of the data's variance left in `x_T` that still counts as pure noise: twice what
/// `scaled-linear`, the worst of the usual schedules, leaves at T = 1000.
pub const MAX_TERMINAL_SIGNAL: f64 = 0.01;
