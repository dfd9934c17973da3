//! Algorithm 1 of Ho et al. 2020: draw x_0, t and eps, take a gradient step on
//! `|eps - eps_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, t)|^2`; and all that makes a run
//! of it one can stop and continue: Adam, EMA, checkpoints, the run folder.
//!
//! The network is any closure from (`x_t`, `t`, labels) to a prediction, with its parameters by name, so
//! this crate can be tested with networks of one number. The paper's t = 1..T is 0..T-1 here.

mod adam;
mod ahead;
mod algorithm;
mod augment;
mod averages;
mod bound;
mod checkpoint;
mod clip;
mod draw;
mod ema;
mod error;
mod evaluations;
#[cfg(test)]
mod example;
mod fit;
mod held_out;
mod history;
mod labels;
mod loss;
mod lr;
mod memory;
mod metrics;
mod numbers;
mod pairing;
mod parts;
mod phase;
mod recovery;
mod run_folder;
mod runs;
mod step;
mod tensorboard;

pub use checkpoints::{CheckpointError, Manifest, ManifestEntry};

pub use adam::Adam;
pub use ahead::Queued;
pub use averages::{Combination, Profile, Snapshot, Stored, combine, list_snapshots, reconstruct};
pub use checkpoint::{Checkpoint, Standing, State, latest_checkpoint, list_checkpoints};
pub use clip::{clip_factor, grad_norm};
pub use config::{LearnedVariance, Loss, LrDecay, OnNan, Pairing, TimeSampling, TrainConfig};
pub use draw::{Draw, Share};
pub use ema::Ema;
pub use error::{BoxError, TrainerError};
pub use evaluations::{EvaluationRecord, read_evaluations};
pub use fit::{Fit, Observer, Outcome};
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
