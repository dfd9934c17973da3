//! The activation function between the layers of a block.

use tch::Tensor;

use config::Activation;

use crate::error::BackboneError;

/// Applies an activation to a feature map or a vector, in its type.
///
/// # Errors
/// Errors from libtorch.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor, BackboneError> {
    Ok(match activation {
        Activation::Silu => x.f_silu()?,
        Activation::Relu => x.f_relu()?,
        Activation::Gelu => x.f_gelu("none")?,
        Activation::Mish => x.f_mish()?,
    })
}
