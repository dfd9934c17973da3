//! The phases of a training step, for whoever wants to know where its time goes.

/// A phase of a step; [`crate::Trainer::train_step_watched`] tells the end of each.
///
/// The order is `Draws`, then for each part of the batch `Network`, `Loss`, `Backward`, then `Optimizer`, `Average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Images to the device, t and eps drawn, x_t made of them.
    Draws,
    /// The network, forward.
    Network,
    /// The loss, and its value on the host.
    Loss,
    /// The gradients.
    Backward,
    /// Clipping and Adam.
    Optimizer,
    /// The moving average of the weights.
    Average,
}
