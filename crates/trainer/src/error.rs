//! What can go wrong in a training run.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the caller's code: the network, the data, an observer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// A value of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
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
    /// A checkpoint is incomplete or altered.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process works in the run folder.
    #[error("{} is in use by another process{}; wait for it or choose another --run folder", path.display(), holder)]
    InUse {
        /// The run folder.
        path: PathBuf,
        /// ` (pid 123)`, or empty when unknown.
        holder: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The network, the data or an observer failed.
    #[error(transparent)]
    Caller(BoxError),
    /// Tensors do not load or save.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}

impl TrainerError {
    /// For `map_err` on the errors of one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
