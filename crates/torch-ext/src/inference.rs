//! Work of which nobody will ever want a gradient.

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Runs `body`. Its operations record nothing for gradients, and less than with gradients merely off: libtorch does not
/// count the changes of their results either. These can take part in no gradient later, and are not to be changed in place
/// afterwards; a copy made outside is free of that.
///
/// The mode is the thread's, and ends with the call, also by a panic: modes within each other end in their order.
///
/// # Errors
/// [`TorchExtError::Torch`] when there is no memory; the body has then not run.
pub fn inference_mode<R>(body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
    let _mode = Mode::begin()?;
    Ok(body())
}

/// Lives on the stack of [`inference_mode`] alone: libtorch puts back what was when each began, so one that ended after
/// an outer one would leave the thread in the mode.
struct Mode {
    raw: *mut ffi::InferenceMode,
}

impl Mode {
    fn begin() -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written where it is told to, when there is no error.
        checked("inference_mode", unsafe { ffi::torch_ext_inference_begin(&raw mut raw) })?;
        Ok(Self { raw })
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_inference_begin` on this thread, ended this once.
        unsafe { ffi::torch_ext_inference_end(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use tch::{Device, Kind, Tensor};

    fn records() -> bool {
        let x = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (x * 2.0).requires_grad()
    }

    #[test]
    fn it_ends_with_its_body() {
        let x = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let inside = inference_mode(|| {
            let y = &x * 2.0;
            assert!(!y.requires_grad());
            y
        })
        .unwrap();
        // Outside, gradients are recorded again, and a copy of what was made inside takes part.
        let loss = (&x * inside.detach_copy()).sum(Kind::Float);
        loss.backward();
        assert_eq!(x.grad(), inside);
        assert!(x.f_mul(&inside).is_err(), "libtorch lets such a tensor into a gradient");
    }

    #[test]
    fn modes_within_each_other_end_in_their_order_whatever_happens() {
        let after_inner = inference_mode(|| {
            assert!(!inference_mode(records).unwrap());
            records()
        });
        assert!(!after_inner.unwrap() && records());
        let panicked = catch_unwind(AssertUnwindSafe(|| inference_mode(|| panic!("as it should"))));
        assert!(panicked.is_err() && records());
    }
}
