//! What can go wrong while sampling.

use schedule::ScheduleError;
use thiserror::Error;

/// An error of the caller's code: the network, an observer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// More steps than the chain has, or none.
    #[error("steps = {got}: expected 1 to {timesteps}, the steps of the chain the network was trained on")]
    Steps {
        /// The length of the whole chain.
        timesteps: usize,
        /// The number of steps asked for.
        got: usize,
    },
    /// The noise scale of DDIM is out of range or not a number.
    #[error("eta = {got}: expected 0 (deterministic) to 1 (as much noise as DDPM)")]
    Eta {
        /// The value.
        got: f64,
    },
    /// The order of a solver is out of range.
    #[error("order = {got}: expected 1 to {highest}")]
    Order {
        /// The order asked for.
        got: usize,
        /// The highest there is.
        highest: usize,
    },
    /// A parameter is out of range or not a number.
    #[error("{what} = {got}: expected {expected}")]
    Value {
        /// The parameter.
        what: &'static str,
        /// The value.
        got: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Levels that do not lead from noise to data.
    #[error("the levels of a chain do not fit at position {position}: {reason}")]
    Grid {
        /// Position in the chain, from 0.
        position: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The solver has no finite weights on this chain.
    #[error(
        "{method} cannot take the step at t = {t}, where no signal is left (zero terminal SNR): use ddim or dpmpp-2m"
    )]
    Unsolvable {
        /// The solver.
        method: &'static str,
        /// Where.
        t: f64,
    },
    /// A variation cannot start there.
    #[error(
        "t_start = {got}: expected 1 (the image hardly changes) to {timesteps} (nothing is left of the image)"
    )]
    StartStep {
        /// The length of the whole chain.
        timesteps: usize,
        /// The start asked for.
        got: usize,
    },
    /// No such name.
    #[error("unknown {what} {got:?}, expected one of: {}", expected.join(", "))]
    UnknownName {
        /// What is named.
        what: &'static str,
        /// The name given.
        got: String,
        /// The valid names.
        expected: &'static [&'static str],
    },
    /// A tensor is no batch of images, or too large to address.
    #[error(
        "{what} must be f32 or f64 of shape [b, c, h, w] with something on each axis, got {got_kind} of shape {got:?}"
    )]
    Images {
        /// The tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// Its element type.
        got_kind: String,
    },
    /// The network's output does not have the shape of its input.
    #[error("the network returned shape {got:?}, expected {expected:?}")]
    Output {
        /// Shape of `x_t`, with twice the channels when the variance is learned.
        expected: Vec<i64>,
        /// Shape of the prediction.
        got: Vec<i64>,
    },
    /// Some images came out with values that are NaN or infinite.
    #[error(
        "{images} of {of} images are not finite: the network gave NaN or infinite values (its weights may be \
         those of a diverged run), or the noise or images it started from did"
    )]
    NonFinite {
        /// How many images.
        images: i64,
        /// The size of the batch.
        of: i64,
    },
    /// The network or the observer failed.
    #[error(transparent)]
    Caller(BoxError),
    /// The chain cannot be shortened in this way, or not sampled with this prediction.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Noise does not become a tensor.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
