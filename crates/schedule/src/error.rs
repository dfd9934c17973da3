//! What can be wrong with a schedule's parameters or with the arrays given to it.

use crate::{MAX_STEPS, MIN_STEPS};

/// A parameter or an array that a schedule cannot work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The number of diffusion steps is out of range.
    #[error("a diffusion chain has {MIN_STEPS} to {MAX_STEPS} steps, got {got}")]
    Steps {
        /// The number of steps requested.
        got: usize,
    },
    /// A parameter is outside its range, infinite, or not a number.
    #[error("{name} must be a number in {expected}, got {got}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its range, as an interval.
        expected: &'static str,
        /// The value.
        got: f64,
    },
    /// The betas would fall over time.
    #[error("beta_end must be at least beta_start = {beta_start}, got {beta_end}")]
    EndBelowStart {
        /// The first beta.
        beta_start: f64,
        /// The last beta.
        beta_end: f64,
    },
    /// A beta of a table is neither in (0, 1) nor 1 at the last t.
    #[error("beta at t = {t} must be in (0, 1), or 1 at the last t; got {got}")]
    Beta {
        /// Its index, from 0.
        t: usize,
        /// Its value.
        got: f64,
    },
    /// alpha_bar no longer falls, or underflows to 0, in 64-bit floating point.
    #[error(
        "alpha_bar must fall at every step and stay above 0: at t = {t} it goes from {previous:e} to {alpha_bar:e}; \
         use larger betas if it stands still, smaller betas or fewer steps if it reaches 0"
    )]
    Degenerate {
        /// The first step at which that happens, from 0.
        t: usize,
        /// alpha_bar before it.
        previous: f64,
        /// alpha_bar after it.
        alpha_bar: f64,
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
    /// Two arrays that must have the same shape do not.
    #[error("{what} must have shape {expected:?}, got {got:?}")]
    Shape {
        /// The array whose shape is wrong.
        what: &'static str,
        /// The shape of the array beside it.
        expected: Vec<usize>,
        /// Its own shape.
        got: Vec<usize>,
    },
    /// There must be exactly one t for each element of the batch (axis 0).
    #[error("one t per batch element: expected {expected} values of t, got {got}")]
    Batch {
        /// The batch size.
        expected: usize,
        /// The number of times.
        got: usize,
    },
    /// A t is outside the chain.
    #[error("t must be in 0..{steps}, got {got}")]
    Timestep {
        /// The length of the chain.
        steps: usize,
        /// The t given.
        got: usize,
    },
    /// A time between steps is outside the chain, or not a number.
    #[error("t must be a number from 0 to {last}, got {got}")]
    Time {
        /// The last step.
        last: usize,
        /// The time given.
        got: f64,
    },
    /// A shorter chain must have at least one step and no more than the chain it is taken from.
    #[error("a chain of {train_steps} steps can be shortened to 1 to {train_steps} steps, got {got}")]
    ShortSteps {
        /// The length of the original chain.
        train_steps: usize,
        /// The length requested.
        got: usize,
    },
    /// The timesteps of a shorter chain must ascend, each once.
    #[error("timesteps must ascend: {got} at position {position} follows {previous}")]
    NotAscending {
        /// Position in the list, from 0.
        position: usize,
        /// The value before it.
        previous: usize,
        /// The value there.
        got: usize,
    },
    /// x_0 cannot be recovered from the noise where no signal is left.
    #[error("alpha is 0 at t = {t}: x_t holds no signal, so eps does not determine x_0")]
    NoSignal {
        /// The t with zero signal-to-noise ratio.
        t: f64,
    },
}
