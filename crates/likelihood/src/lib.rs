//! The likelihood of images under a trained diffusion model, in bits per dimension. A dimension is one number of an
//! image. Fewer bits mean that the model has learned more of what the images have in common. The network is any
//! closure. `cargo run -p likelihood --example bits` compares both ways to compute it with an exact value.
//!
//! There are two ways to compute it:
//!
//! - [`bound`], the variational bound of the reverse chain (Ho et al. 2020, Eq. 5). It is the "NLL <= ..." of the
//!   papers on discrete chains.
//! - [`ode`], the likelihood by the probability flow (Song et al. 2021, Sec. 4.3), a bound only because of its
//!   dequantisation. It is what papers on continuous time and on flow matching report.
//!
//! **Comparing with published numbers.** For a chain of betas the bound is comparable under four conditions: all T
//! terms ([`Levels::chain`] without a number of steps, and [`Terms::All`], or [`Terms::Sampled`] within its
//! interval), `x_0` clipped, the averaged weights, and unaltered images that the network was not trained on. A chain
//! shortened to some steps is a different model with a higher bound (Nichol & Dhariwal 2021, Sec. 4). Images that
//! were resized, padded or cropped have other likelihoods than the originals.
//!
//! A path without steps (EDM's, the straight one, the cosine in continuous time) has no chain of its own. Each choice
//! of levels makes one; its bound falls with the number of levels towards that of continuous time (Kingma et al.
//! 2021). Compare such bounds only with others on the same levels. Published numbers for such models come from
//! [`ode`], with uniform dequantisation unless stated otherwise.
//!
//! **The first level matters.** Below a `sigma / alpha` of about 0.002 its noise is narrower than a grey level. The
//! bound (and [`Dequantisation::Noise`]) then costs `log2(0.0019 / (sigma / alpha))` bits more, unless the network
//! has learned that grey levels are discrete: one bit on the straight path with T = 1000. Far above 0.002 the last
//! step has to guess grey levels that the network knows exactly, such as a black background. [`Levels::even`] takes
//! another first level. Uniform dequantisation hardly depends on the first level while it is low.
//!
//! **Which is lower.** With the same first level and last step ([`Dequantisation::Noise`]) the bound of the optimal
//! network lies above [`ode`], and that of a trained one usually does. Otherwise the two belong to different models:
//! a learned variance can bring the bound below, and so can uniform dequantisation where the first level has more
//! noise than a grey level is wide.
//!
//! **What is exact.** The levels' numbers and all sums are f64; the network computes in f32, or in f64 for images in
//! f64. A draw is a function of the seed and the image's index. So results do not depend on the batches, as long as
//! the network's outputs do not.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use likelihood::{Batch, BoundOptions, BoxError, Levels, OdeOptions, Output, bound, ode};
//! use schedule::{Prediction, Schedule};
//! use tch::{Kind, Device, Tensor};
//!
//! // The best network for data from N(0, I), which is N(0, I) at every t: eps is expected to be sigma x_t.
//! let path = Schedule::ddpm();
//! let model = |x_t: &Tensor, t: &Tensor, _labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
//!     let sigma: Vec<f64> = Vec::<f64>::try_from(t.f_to_kind(Kind::Double)?)?
//!         .iter()
//!         .map(|&t| path.level_at(t).map(|level| level.sigma))
//!         .collect::<Result<_, _>>()?;
//!     Ok(x_t * Tensor::from_slice(&sigma).view([-1, 1, 1, 1]).to_kind(x_t.kind()))
//! };
//! let output = Output { prediction: Prediction::Eps, learned_variance: false };
//! let images = || Tensor::full([8, 1, 4, 4], 128, (Kind::Uint8, Device::Cpu));
//! let batches = || [Ok(Batch { images: images(), labels: None })];
//! let mut on_step = |_: &likelihood::Progress| Ok(ControlFlow::Continue(()));
//!
//! let options = BoundOptions::new(Levels::chain(&path, Some(100))?, output);
//! let bound = bound(&options, &model, batches(), &mut on_step)?;
//! let options = OdeOptions::new(Levels::flow(&path, 50)?, output);
//! let ode = ode(&options, &model, batches(), &mut on_step)?;
//! // A density of 0.4 in the middle of the range, and 127.5 grey levels in a unit.
//! let exact = (127.5 / 0.39894_f64).log2();
//! assert!((ode.bits.mean - exact).abs() < 0.01 && bound.bits.mean > ode.bits.mean);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

mod batch;
mod bound;
mod dequantise;
mod draws;
mod error;
mod flow;
mod grey;
mod levels;
mod network;
mod ode;
mod plan;
mod steps;
mod summary;
mod terms;

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {schedule, tch};

pub use batch::{Batch, Observer, Progress};
pub use bound::{Bound, BoundOptions, Term, bound};
pub use dequantise::Dequantisation;
pub use error::{BoxError, LikelihoodError};
pub use levels::Levels;
pub use network::Output;
pub use ode::{Ode, OdeOptions, log_density, ode};
pub use plan::Terms;
pub use steps::ReverseVariance;
pub use summary::Summary;
pub use terms::{code_length, divergence, log_variance};
