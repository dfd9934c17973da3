//! How the training and the sampling of a diffusion model call its network: through a closure on tensors. This lets
//! tests use networks known in closed form, and other programs their own networks.
//! `cargo run -p denoiser --example labels` calls one in both ways.

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use tch;

use tch::Tensor;

/// Any error of a caller's closure.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A network as training calls it. It takes `x_t` `[b, c, h, w]`, `t` `[b]` and labels `[b]` i64 ([`NO_LABEL`] for
/// none) and returns its output, `[b, c, h, w]`, or `[b, 2c, h, w]` if it also predicts a variance. `x_t` is scaled
/// where the form of the output requires it. `t` is i64, or floating point on a path without steps.
///
/// A network conditioned on augmentation gets labels `[b, 4]`: the label, the quarter turns (plus 4 if mirrored), and
/// the shifts in pixels to the right and down.
pub type Conditional<'a> = dyn Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + 'a;

/// A network as a sampler calls it, with its labels, if any, already bound. It takes `x_t` `[b, c, h, w]` and `t`
/// `[b]`, both of one floating type on one device, and returns its output. `t` is the same for the whole batch, in
/// `0..=T-1` of the path it was trained on, and fractional where the levels lie between the path's steps.
pub type Denoiser<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + 'a;

/// The label of an image without a class: nothing is added to its time vector.
///
/// This lets images with and without a class share a batch of a conditional network, which training with dropped
/// labels and classifier-free guidance both need.
///
pub const NO_LABEL: i64 = -1;
