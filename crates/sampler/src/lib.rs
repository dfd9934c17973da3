//! Draws images from a trained diffusion model, by Algorithm 2 of Ho et al. 2020 or faster solvers: from noise `x_T` back
//! to an image, one network call a step, `x_{t-1} = w_0 x_0 + w_t x_t + sigma_t z` with the network's prediction of
//! `x_0`. `cargo run -p sampler --example draw` compares three solvers.
//!
//! The network is any closure from (`x_t`, `t`) to a prediction, so this crate can be tested with closed forms. The
//! paper's t = 1..T is 0..T-1 here. A chain of fewer steps passes the network the t of the original one.
//!
//! To start from an image instead, use [`Sampler::vary`] for variations, [`Sampler::interpolate`], [`Encoder`] to
//! encode it as noise, and [`Sampler::inpaint`] for an image that is [`Known`] in part.
//!
//! ```
//! use sampler::{BoxError, Method, Noise, Sampler, SamplerConfig};
//! use schedule::Schedule;
//! use tch::{Device, Tensor};
//!
//! // The network of data that is a single grey: what is not that grey is noise.
//! let schedule = Schedule::ddpm();
//! let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
//!     let t = f64::try_from(t.f_get(0)?)? as usize;
//!     Ok((x_t - 0.5 * schedule.sqrt_alpha_bars()[t]) / schedule.sqrt_one_minus_alpha_bars()[t])
//! };
//!
//! let config = SamplerConfig { steps: Some(10), ..SamplerConfig::new(Method::Ddim { eta: 0.0 }) };
//! let sampler = Sampler::new(&schedule, &config)?;
//! let noise = Noise { seed: 1, first_index: 0 };
//! let x_t = noise.start([2, 1, 4, 4], Device::Cpu)?;
//! let images = sampler.sample(&model, &x_t, &noise, &mut |_| Ok(()))?; // [2, 1, 4, 4]
//! assert!(tensor_io::to_vec(&images)?.iter().all(|pixel| (pixel - 0.5).abs() < 1e-4));
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {schedule, schedule::ndarray, tch};

pub use denoiser::NO_LABEL;
pub use random::Purpose;
pub use tensor_io::{TensorIoError, from_array, from_pixels, to_array, to_pixels};

mod autoguidance;
mod config;
mod edit;
mod error;
mod grid;
mod guidance;
mod method;
mod noise;
mod run;
mod sampler;
pub mod solvers;
mod stage;
mod sum;
mod threshold;
mod times;

pub use config::SamplerConfig;
pub use edit::{Blend, Encoder, Known, Resampling, blend, shares};
pub use error::{BoxError, SamplerError};
pub use grid::Grid;
pub use guidance::{Guidance, GuidanceError};
pub use method::Method;
pub use noise::{Draw, Noise, NoiseSource};
pub use sampler::{Model, Observer, Sampler, Step};
pub use schedule::{
    Continuous, ContinuousPath, Level, NoisePath, Prediction, Schedule, ScheduleError, Spacing, Variance,
};
pub use solvers::{BFunction, ChurnSettings, Correction, Deis, DpmPp, UniPc};
pub use stage::{Churn, Memory, Stage, StageNoise, Sum};
pub use threshold::Threshold;
pub use times::{End, Times};
