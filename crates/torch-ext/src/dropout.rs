//! Dropout (Srivastava et al. 2014) whose mask is drawn on all threads and kept by none.

use std::ptr;

use tch::{Device, Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::group_norm::Vectors;
use crate::plain::strided;

/// Numbers of 16 bits decide.
const LEVELS: f64 = 65536.0;

/// `x` with each number zero with probability `rate`, or divided by `1 - rate`; in f32 or bf16, in the host's memory, of any
/// shape. The rate is rounded to a multiple of 2^-16, for both.
///
/// The mask is a function of one number drawn from libtorch's generator, and goes by the order of memory: with the same
/// seed, another layout has another mask, another number of threads has the same. The gradient draws it again.
///
/// # Errors
/// [`TorchExtError::Rate`] for a rate outside of `[0, 1]`; [`TorchExtError::Undefined`], [`TorchExtError::Layout`],
/// [`TorchExtError::Device`] and [`TorchExtError::Kind`] for a tensor that it does not take; [`TorchExtError::Torch`] when there is no memory.
pub fn dropout(x: &Tensor, rate: f64) -> Result<Tensor, TorchExtError> {
    check(x, rate)?;
    let mut key = 0;
    // SAFETY: one number is written where it is told to.
    checked("dropout", unsafe { ffi::torch_ext_draw_key(&raw mut key) })?;
    dropout_with(x, rate, key, Vectors::Best)
}

/// [`dropout`] by a key of one's own, and vectors of a length.
///
/// # Errors
/// As there.
pub fn dropout_with(x: &Tensor, rate: f64, key: u64, vectors: Vectors) -> Result<Tensor, TorchExtError> {
    check(x, rate)?;
    let dropped = (rate * LEVELS).round() as i64;
    let mut out = ptr::null_mut();
    // SAFETY: the tensor is borrowed until the call is over, in the host's memory and of a type that C++ has a loop for.
    let text = unsafe { ffi::torch_ext_dropout(x.as_ptr(), key, dropped, vectors.lanes(), &raw mut out) };
    checked("dropout", text)?;
    // SAFETY: without an error `out` is a new tensor that nobody else owns.
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
