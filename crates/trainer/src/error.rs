//! The errors of a training run.

use std::io;
use std::path::{Path, PathBuf};

use checkpoints::CheckpointError;
use thiserror::Error;

pub use denoiser::BoxError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// A value of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// There are no snapshots to make an average from.
    #[error(
        "{}: no snapshots of averages; a run stores them with --set train.ema_sigma_rels=[0.05,0.1]",
        path.display()
    )]
    NoSnapshots {
        /// Where they are expected.
        path: PathBuf,
    },
    /// A batch has labels, but not one for each image.
    #[error("expected {images} labels, one for each image, found {labels}")]
    LabelCount {
        /// How many images.
        images: usize,
        /// How many labels.
        labels: usize,
    },
    /// The path has no such level.
    #[error(transparent)]
    Schedule(#[from] schedule::ScheduleError),
    /// The loss or the gradients are not finite. The parameters are those before the step.
    #[error(
        "training diverged: {what} is {value} at step {step}; lower train.lr (now {lr}) or train.grad_clip, \
         and continue from the last checkpoint"
    )]
    NonFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// NaN or infinite.
        value: f64,
        /// The step, from 0.
        step: u64,
        /// The learning rate at that step.
        lr: f64,
    },
    /// The network's output does not have the shape of its input.
    #[error("the network returned shape {got:?} for x_t of shape {expected:?}")]
    Output {
        /// Shape of `x_t`.
        expected: Vec<i64>,
        /// Shape of the prediction.
        got: Vec<i64>,
    },
    /// The device or the machine does not have enough memory. The parameters are those before the step.
    #[error("not enough memory for {} of {}x{}x{} at the same time ({found})", files::counted(*images, "image"), image[2], image[1], image[0])]
    OutOfMemory {
        /// Images in the network at a time.
        images: usize,
        /// Channels, rows and columns of an image.
        image: [i64; 3],
        /// libtorch's message, in one line.
        found: String,
    },
    /// The weights, their average or the optimiser's state are not finite. Nothing was saved.
    #[error(
        "{} of {file} is not finite after step {step}: not saved; lower train.lr or train.grad_clip, and \
         continue from the last checkpoint",
        tensor.escape_debug()
    )]
    NonFiniteWeights {
        /// The file it would be in.
        file: &'static str,
        /// The tensor's name.
        tensor: String,
        /// Steps done.
        step: u64,
    },
    /// A checkpoint is incomplete or altered, or cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A line of `metrics.jsonl` was not written by this program.
    #[error("{}: line {line}: expected a record of this program, found {found}", path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What was found instead.
        found: String,
    },
    /// Another process works in the run folder.
    #[error("{} is in use by another process{}; wait for it or choose another --run folder", path.display(), holder)]
    InUse {
        /// The run folder.
        path: PathBuf,
        /// ` (pid 123)`, or empty when unknown.
        holder: String,
    },
    /// The run folder is no longer the one that was locked.
    #[error(
        "{}: the run folder was removed or replaced while this process trained in it; it has written nothing since: start \
         again with another --run",
        path.display()
    )]
    Replaced {
        /// The run folder.
        path: PathBuf,
    },
    /// A link in the run folder leads out of it.
    #[error(
        "{}: expected a file or folder of the run, found a link; put what it leads to in its place, or link the whole run \
         folder instead",
        path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The network, the data or an observer failed.
    #[error(transparent)]
    Caller(BoxError),
    /// Another of the ranks that train together failed.
    #[error("rank {rank} {failure} in step {step}; its own message says more")]
    OtherRank {
        /// That rank.
        rank: usize,
        /// What happened there.
        failure: &'static str,
        /// The step, from 0.
        step: u64,
    },
    /// The weights of two ranks differ. Nothing was saved.
    #[error(
        "the weights of rank {rank} differ from those of rank 0 after step {step}: not saved; check that all ranks run the same \
         program, and continue from the last checkpoint"
    )]
    RanksDiffer {
        /// The other rank.
        rank: usize,
        /// Steps done.
        step: u64,
    },
    /// Only some ranks have a gradient for a parameter.
    #[error("the gradient of {} exists on {found:.0} of {size} ranks, expected all or none", name.escape_debug())]
    PartialGradient {
        /// The parameter.
        name: String,
        /// Number of ranks that have one.
        found: f64,
        /// Number of ranks.
        size: usize,
    },
    /// Only some ranks divide the state of Adam.
    #[error(
        "rank {rank} and rank 0 disagree on dividing the state of Adam; start all ranks with the same value of DDPM_SHARD_STATE"
    )]
    DividedOnSome {
        /// The first rank that differs from rank 0.
        rank: usize,
    },
    /// A part of the state of Adam is on other ranks.
    #[error(
        "the state of Adam is divided over several ranks, expected all of it on this one; save with Fit::run on all ranks"
    )]
    DividedState,
    /// A setting needs the whole batch in one process.
    #[error(
        "train.pairing = optimal assigns noises within the whole batch, so it works with a single rank only; use nearest"
    )]
    OptimalPairing,
    /// Tensors do not load or save.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
    /// The optimiser's own operations refused.
    #[error(transparent)]
    Fused(#[from] torch_ext::TorchExtError),
}

impl TrainerError {
    /// For `map_err` on the errors of one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
