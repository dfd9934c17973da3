//! Trains a diffusion model by Algorithm 1 of Ho et al. 2020: draw x_0, t and eps, take a gradient step on
//! `|eps - eps_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, t)|^2`. Adds what a run needs to be stopped and
//! continued: Adam, EMA, checkpoints, the run folder.
//!
//! The network is any closure from (`x_t`, `t`, labels) to a prediction, together with its named parameters, so this
//! crate can be tested with networks of one parameter. The paper's t = 1..T is 0..T-1 here.
//! `cargo run -p trainer --example train` trains a network of one layer; the program `examples/own_data.rs` in the
//! repository a U-Net on a folder of images.
//!
//! ```
//! use trainer::schedule::Schedule;
//! use trainer::tch::{Device, Kind, Tensor};
//! use trainer::{Batch, BoxError, TrainConfig, Trainer};
//!
//! // The network: x_t times one parameter.
//! let weight = Tensor::zeros([1], (Kind::Float, Device::Cpu)).requires_grad_(true);
//! let params = [(String::from("weight"), weight.shallow_clone())];
//! let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> { Ok(x_t.f_mul(&weight)?) };
//!
//! let config = TrainConfig { steps: 20, warmup_steps: 0, lr: 0.1, ..TrainConfig::default() };
//! let mut trainer = Trainer::new(&params, &Schedule::ddpm(), &config, 0, Device::Cpu)?;
//! let images = Tensor::zeros([16, 1, 8, 8], (Kind::Float, Device::Cpu)); // [b, c, h, w] in [-1, 1]
//! let first = trainer.train_step(&Batch { images: images.shallow_clone(), labels: None }, &model)?;
//! for _ in 1..20 {
//!     trainer.train_step(&Batch { images: images.shallow_clone(), labels: None }, &model)?;
//! }
//! // The images are 0, so eps is x_t / sigma, and sigma is close to 1 for most t.
//! assert!((first.loss - 1.0).abs() < 0.2 && f64::try_from(&trainer.params()[0].1)? > 0.8);
//! # Ok::<(), BoxError>(())
//! ```

mod adam;
mod ahead;
mod algorithm;
mod augment;
mod averages;
mod batch;
mod bound;
mod checkpoint;
mod clip;
mod consistency;
mod draw;
mod due;
mod ema;
mod error;
mod evaluations;
#[cfg(test)]
mod example;
mod fit;
mod follow;
mod freeze;
mod held_out;
mod history;
mod labels;
mod loss;
mod lr;
mod memory;
mod metrics;
mod muon;
mod numbers;
mod pairing;
mod parts;
mod phase;
mod recovery;
mod run_folder;
mod runs;
mod step;
mod tensorboard;
mod together;

/// Re-exports of the crates in the interface, in the version used here, so that programs need no dependency of their
/// own.
pub use {ndarray, schedule, tch};

pub use checkpoints::{CheckpointError, Manifest, ManifestEntry};
pub use denoiser::NO_LABEL;
pub use schedule::{
    Continuous, ContinuousPath, Level, LossWeight, NoisePath, Prediction, Schedule, ScheduleError,
};
pub use tensor_io::{Named, TensorIoError, from_array, from_pixels, to_array, to_pixels};
pub use torch_ext::TorchExtError;

pub use adam::Adam;
pub use ahead::Queued;
pub use averages::{Combination, Profile, Snapshot, Stored, combine, list_snapshots, reconstruct};
pub use checkpoint::{Checkpoint, Standing, State, latest_checkpoint, list_checkpoints};
pub use clip::{clip_factor, grad_norm};
pub use config::{
    ConfigError, LearnedVariance, Loss, LrDecay, OnNan, Optimizer, Pairing, TimeSampling, TrainConfig,
};
pub use draw::{Draw, Share};
pub use ema::Ema;
pub use error::{BoxError, TrainerError};
pub use evaluations::{EvaluationRecord, read_evaluations};
pub use fit::{Fit, Observer, Outcome};
pub use follow::Follow;
pub use held_out::held_out_losses;
pub use history::LossHistory;
pub use labels::drop_labels;
pub use lr::learning_rate;
pub use memory::is_out_of_memory;
pub use metrics::{Interval, LOSS_BUCKETS, Record};
pub use phase::Phase;
pub use recovery::Recovery;
pub use run_folder::{Claim, RunFolder};
pub use runs::{FoundRun, is_run, runs_newest_first};
pub use step::{Batch, Model, StepReport, Trainer};
pub use tensorboard::EventFile;
pub use together::{Begun, Reduce, Reduction};
