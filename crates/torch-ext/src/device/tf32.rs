//! TensorFloat-32: f32 numbers, products of which keep 10 bits of their fraction, on GPUs since 2020.

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Lets a GPU multiply f32 matrices and convolve f32 images in TF32, or makes it keep to f32. It holds for the process;
/// on the CPU it changes nothing. Unless told, libtorch takes TF32 for convolutions alone.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn set_tf32(on: bool) -> Result<(), TorchExtError> {
    // SAFETY: a plain flag.
    checked("set_tf32", unsafe { ffi::torch_ext_set_tf32(on) })
}

/// Whether both are in TF32.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn tf32() -> Result<bool, TorchExtError> {
    let mut on = false;
    // SAFETY: one flag is written where it is told to.
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
