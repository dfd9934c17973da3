//! Dropout (Srivastava et al. 2014) whose mask is drawn on all threads and never stored.

use std::ptr;

use tch::{Device, Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::group_norm::Vectors;
use crate::plain::strided;

/// Each decision uses a number of 16 bits.
const LEVELS: f64 = 65536.0;

/// Sets each number of `x` to zero with probability `rate`, and divides the others by `1 - rate`. `x` is f32 or bf16, in
/// host memory, of any shape. The rate is rounded to a multiple of 2^-16 in both places.
///
/// The mask depends on one number drawn from libtorch's generator, and follows memory order. So with the same seed
/// another layout has another mask, but the number of threads does not matter. The backward pass draws the mask again.
///
/// # Errors
/// [`TorchExtError::Rate`] for a rate outside `[0, 1]`; [`TorchExtError::Undefined`], [`TorchExtError::Layout`],
/// [`TorchExtError::Device`] and [`TorchExtError::Kind`] for unsuitable tensors; [`TorchExtError::Torch`] when there is not
/// enough memory.
pub fn dropout(x: &Tensor, rate: f64) -> Result<Tensor, TorchExtError> {
    check(x, rate)?;
    let mut key = 0;
    // SAFETY: one number is written through the argument.
    checked("dropout", unsafe { ffi::torch_ext_draw_key(&raw mut key) })?;
    dropout_with(x, rate, key, Vectors::Best)
}

/// [`dropout`] with a given key, and vectors of a given length.
///
/// # Errors
/// The same as for [`dropout`].
pub fn dropout_with(x: &Tensor, rate: f64, key: u64, vectors: Vectors) -> Result<Tensor, TorchExtError> {
    check(x, rate)?;
    let dropped = (rate * LEVELS).round() as i64;
    let mut out = ptr::null_mut();
    // SAFETY: the tensor is borrowed for the call, is in host memory and has a type that C++ has a loop for.
    let text = unsafe { ffi::torch_ext_dropout(x.as_ptr(), key, dropped, vectors.lanes(), &raw mut out) };
    checked("dropout", text)?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

fn check(x: &Tensor, rate: f64) -> Result<(), TorchExtError> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(TorchExtError::Rate { got: rate });
    }
    strided("x", x)?;
    if x.device() != Device::Cpu {
        let (got, expected) = (x.device(), Device::Cpu);
        return Err(TorchExtError::Device { call: "dropout", what: "x", got, expected });
    }
    if !matches!(x.kind(), Kind::Float | Kind::BFloat16) {
        return Err(TorchExtError::Kind { what: "x", got: x.kind(), expected: "Float or BFloat16" });
    }
    Ok(())
}
