//! Inference mode: work that never needs gradients.

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Runs `body` without recording anything for gradients. It saves more than turning gradients off: libtorch does not track
/// versions of the results either. The results can never take part in a gradient, and must not be changed in place
/// afterwards; a copy made outside has neither limit.
///
/// The mode belongs to the thread and ends with the call, even by a panic. Nested modes end in order.
///
/// # Errors
/// [`TorchExtError::Torch`] when there is not enough memory; the body has then not run.
pub fn inference_mode<R>(body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
    let _mode = Mode::begin()?;
    Ok(body())
}

/// Only lives on the stack of [`inference_mode`]. Each mode restores the state at its beginning, so a mode that ended
/// after an outer one would leave the thread in inference mode.
struct Mode {
    raw: *mut ffi::InferenceMode,
}

impl Mode {
    fn begin() -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written through the argument, only if there is no error.
        checked("inference_mode", unsafe { ffi::torch_ext_inference_begin(&raw mut raw) })?;
        Ok(Self { raw })
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_inference_begin` on this thread, ended exactly once.
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
        // Outside, gradients are recorded again, and a copy of an inside tensor can take part.
        let loss = (&x * inside.detach_copy()).sum(Kind::Float);
        loss.backward();
        assert_eq!(x.grad(), inside);
        assert!(x.f_mul(&inside).is_err(), "libtorch lets such a tensor into a gradient");
    }

    #[test]
    fn nested_modes_always_end_in_order() {
        let after_inner = inference_mode(|| {
            assert!(!inference_mode(records).unwrap());
            records()
        });
        assert!(!after_inner.unwrap() && records());
        let panicked = catch_unwind(AssertUnwindSafe(|| inference_mode(|| panic!("as it should"))));
        assert!(panicked.is_err() && records());
    }
}
