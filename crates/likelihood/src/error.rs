//! What can go wrong while likelihoods are computed.

use schedule::ScheduleError;
use thiserror::Error;

pub use denoiser::BoxError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LikelihoodError {
    /// A number of steps, terms or probes is out of range.
    #[error("{what} = {got}: expected {least} to {most}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number requested.
        got: usize,
        /// The smallest one allowed.
        least: usize,
        /// The largest one allowed.
        most: usize,
    },
    /// The noise levels do not rise from the data to noise.
    #[error("noise level {position}: {reason}")]
    Levels {
        /// Position in the list, from 0.
        position: usize,
        /// What is wrong.
        reason: &'static str,
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
    /// A learned reverse variance was requested for a network without one.
    #[error(
        "variance = learned: the network has no second half of channels for the variance; use fixed-small or fixed-large"
    )]
    NoVariance,
    /// A tensor is not a batch of images.
    #[error(
        "images must be u8, f32 or f64 of shape [b, c, h, w] with no empty axis, got {got_kind} of shape {got:?}"
    )]
    Images {
        /// Its shape.
        got: Vec<i64>,
        /// Its element type.
        got_kind: String,
    },
    /// A floating-point image has values between two grey levels.
    #[error(
        "image {image} contains {value}, which is not one of the 256 grey levels k / 127.5 - 1: pass images as u8, or \
         normalised exactly that way"
    )]
    NotGrey {
        /// Index of the image in the set, counted from the options' `first_index`.
        image: u64,
        /// The value farthest from a grey level.
        value: f64,
    },
    /// There is not one label per image.
    #[error("labels of shape {got:?}: expected [{expected}], one per image")]
    Labels {
        /// Number of images.
        expected: i64,
        /// Shape of the labels.
        got: Vec<i64>,
    },
    /// No batch was finished.
    #[error("no images: there was no batch, or the caller stopped before the first batch was finished")]
    NoImages,
    /// The network's output does not have the expected shape.
    #[error("the network returned shape {got:?}, expected {expected:?}")]
    Output {
        /// Shape of `x_t`, with twice the channels if the network predicts a variance.
        expected: Vec<i64>,
        /// Shape of the output.
        got: Vec<i64>,
    },
    /// Automatic differentiation cannot follow the network's output back to its input.
    #[error(
        "the network's output has no gradient with respect to x_t: call the network with gradients enabled (not under a no-grad \
         guard, in inference mode or from a recorded graph)"
    )]
    NoGradient,
    /// Some results are NaN or infinite.
    #[error(
        "the likelihood of some images is not finite ({images} of {of}, first image {first}): the network returned NaN or infinite \
         values (its weights may come from a diverged run), or the images contain them"
    )]
    NonFinite {
        /// How many images.
        images: usize,
        /// The size of the batch.
        of: usize,
        /// Index in the set of the first one.
        first: u64,
    },
    /// The network, the images or the observer failed.
    #[error(transparent)]
    Caller(BoxError),
    /// The path has no such level, or the output does not determine `x_0` there.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Draws could not be converted to a tensor.
    #[error(transparent)]
    Tensors(#[from] tensor_io::TensorIoError),
    /// An error of libtorch.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}
