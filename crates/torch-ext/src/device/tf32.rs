//! TensorFloat-32: f32 numbers whose products keep 10 bits of the fraction, on GPUs since 2020.

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Sets whether a GPU may multiply f32 matrices and convolve f32 images in TF32. It applies to the whole process; on
/// the CPU it has no effect. By default libtorch uses TF32 for convolutions only.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn set_tf32(on: bool) -> Result<(), TorchExtError> {
    // SAFETY: a plain flag.
    checked("set_tf32", unsafe { ffi::torch_ext_set_tf32(on) })
}

/// Whether both use TF32.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn tf32() -> Result<bool, TorchExtError> {
    let mut on = false;
    // SAFETY: one flag is written through the argument.
    checked("tf32", unsafe { ffi::torch_ext_tf32(&raw mut on) })?;
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_set() {
        for on in [true, false, true] {
            set_tf32(on).unwrap();
            assert_eq!(tf32().unwrap(), on);
        }
    }
}
