//! The phases of a training step, for timing.

/// A phase of a step; [`crate::Trainer::train_step_watched`] reports the end of each.
///
/// The order is `Draws`, then for each part of the batch `Network`, `Loss`, `Backward`, then with several ranks
/// `Reduction`, then `Optimizer`, `Average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Copying images to the device, drawing t and eps, computing x_t.
    Draws,
    /// The forward pass of the network.
    Network,
    /// The loss, and its value on the host.
    Loss,
    /// The backward pass.
    Backward,
    /// Waiting for the other ranks, and what is left of the sums over them after the backward pass.
    Reduction,
    /// Clipping and Adam.
    Optimizer,
    /// The moving average of the weights.
    Average,
}
