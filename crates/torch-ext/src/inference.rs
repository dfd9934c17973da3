//! Work of which nobody will ever want a gradient.

use std::marker::PhantomData;
use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Until it is dropped, operations of this thread record nothing for gradients, and less than with gradients merely off:
/// libtorch does not count the changes of their results either. These can take part in no gradient later, and are not to be
/// changed in place afterwards; a copy made outside is free of that.
pub struct InferenceMode {
    raw: *mut ffi::InferenceMode,
    /// It ends on the thread where it began.
    _not_send: PhantomData<*const ()>,
}

impl InferenceMode {
    /// Begins it.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when there is no memory.
    pub fn begin() -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written where it is told to, when there is no error.
        checked("inference_mode", unsafe { ffi::torch_ext_inference_begin(&raw mut raw) })?;
        Ok(Self { raw, _not_send: PhantomData })
    }
}

impl Drop for InferenceMode {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_inference_begin` on this thread, ended this once.
        unsafe { ffi::torch_ext_inference_end(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn it_ends_with_its_block() {
        let x = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let inside = {
            let _inference = InferenceMode::begin().unwrap();
            let y = &x * 2.0;
            assert!(!y.requires_grad());
            y
        };
        // Outside, gradients are recorded again, and a copy of what was made inside takes part.
        let loss = (&x * inside.detach_copy()).sum(Kind::Float);
        loss.backward();
        assert_eq!(x.grad(), inside);
        assert!(x.f_mul(&inside).is_err(), "libtorch lets such a tensor into a gradient");
    }
}
