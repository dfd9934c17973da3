//! What training and sampling call a network: a closure on tensors. So they are tested with networks known in closed form, and
//! work with networks of anybody's.

use tch::Tensor;

/// Any error of a caller's closure.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A network as training calls it: `x_t` `[b, c, h, w]`, `t` `[b]` and labels `[b]` i64, [`NO_LABEL`] for none, to its output
/// `[b, c, h, w]`, or `[b, 2c, h, w]` where it says a variance as well. `x_t` is scaled where the output's form says so, and `t`
/// is i64, or on a path without steps floating.
///
/// A network that is told how images were augmented gets labels `[b, 4]` for such: the label, quarter turns plus 4 for a
/// mirrored image, and pixels moved to the right and down.
pub type Conditional<'a> = dyn Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + 'a;

/// A network as a sampler calls it, with labels of its own if it has any: `x_t` `[b, c, h, w]` and `t` `[b]`, both of one
/// floating type on one device, to its output. `t` is in `0..=T-1` of the path it was trained on, the same for the whole batch;
/// a fraction where the levels were chosen between the path's steps.
pub type Denoiser<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + 'a;

/// The label of an image that has none: nothing is added to its time vector.
///
/// So images with and without a class go through a conditional network in one batch, which both training
/// with dropped labels and classifier-free guidance need.
pub const NO_LABEL: i64 = -1;
