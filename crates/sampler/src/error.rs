//! What can go wrong while sampling.

use schedule::ScheduleError;
use thiserror::Error;

pub use denoiser::BoxError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// More steps than the chain has, or none at all.
    #[error("steps = {got}: expected 1 to {timesteps}, the steps of the chain the network was trained on")]
    Steps {
        /// The length of the whole chain.
        timesteps: usize,
        /// The number of steps requested.
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
        /// The order requested.
        got: usize,
        /// The highest supported order.
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
    #[error("invalid noise level at position {position} of the chain: {reason}")]
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
        /// The t of the step.
        t: f64,
    },
    /// A variation cannot start at this t.
    #[error(
        "t_start = {got}: expected 1 (the image hardly changes) to {timesteps} (nothing is left of the image)"
    )]
    StartStep {
        /// The length of the whole chain.
        timesteps: usize,
        /// The start requested.
        got: usize,
    },
    /// Two images, or two latents, that cannot be mixed.
    #[error(
        "cannot interpolate between shapes {from:?} and {to:?}: expected one image each, of the same shape"
    )]
    Pair {
        /// Shape of the first.
        from: Vec<i64>,
        /// Shape of the second.
        to: Vec<i64>,
    },
    /// Two latents on opposite sides of the sphere: every great circle through one of them leads to the other.
    #[error("the two latents point in opposite directions, so no great circle between them is the shortest")]
    Opposite,
    /// The flow from data to noise cannot be followed with this solver.
    #[error("{method} cannot encode images as noise: expected {expected}")]
    Encode {
        /// The solver.
        method: &'static str,
        /// The solvers that can.
        expected: &'static str,
    },
    /// The solver uses earlier calls, or several calls a step, so its steps cannot be repeated.
    #[error("{method} cannot repeat single steps, which inpainting needs: expected {expected}")]
    Repeat {
        /// The solver.
        method: &'static str,
        /// The solvers that can.
        expected: &'static str,
    },
    /// A mask that does not say of each pixel whether it is to be filled.
    #[error(
        "the mask must have shape [1 or {batch}, 1, {height}, {width}] and only values 0 (known) and 1 (to fill): {reason}"
    )]
    Mask {
        /// The size of the batch it applies to.
        batch: i64,
        /// Rows of an image.
        height: i64,
        /// Columns of an image.
        width: i64,
        /// What is wrong.
        reason: String,
    },
    /// The known image does not fit the batch that is drawn.
    #[error("the known image has shape {got:?}, expected {expected:?}, or one image for the whole batch")]
    KnownShape {
        /// The shape of the batch.
        expected: Vec<i64>,
        /// That of the image.
        got: Vec<i64>,
    },
    /// A jump as long as the chain.
    #[error("jump = {got}: expected 1 to {highest}, shorter than the chain of {} steps", highest + 1)]
    Jump {
        /// The length requested.
        got: usize,
        /// The longest.
        highest: usize,
    },
    /// The name is unknown.
    #[error("unknown {what} {got:?}, expected one of: {}", expected.join(", "))]
    UnknownName {
        /// What is named.
        what: &'static str,
        /// The name given.
        got: String,
        /// The valid names.
        expected: &'static [&'static str],
    },
    /// A tensor is not a batch of images, or too large to address.
    #[error(
        "{what} must be f32 or f64 of shape [b, c, h, w] with no empty axis, got {got_kind} of shape {got:?}"
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
    /// Some images contain values that are NaN or infinite.
    #[error(
        "some images are not finite ({images} of {of}): the network returned NaN or infinite values (its weights may \
         come from a diverged run), or the initial noise or images contain them"
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
    /// Noise could not be converted to a tensor.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// An error of libtorch.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
