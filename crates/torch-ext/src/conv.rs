//! Convolutions in bf16 with f32 weights, and our own weight gradient on processors with AMX.

use std::ptr;

use tch::{Device, Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::strided;

/// Which code computes the gradients of weight and bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightGradient {
    /// This crate if [`conv2d_is_fast`], otherwise libtorch.
    Best,
    /// libtorch, which rounds them to bf16 on the way.
    Libtorch,
}

/// Whether this crate computes the weight gradient of [`conv2d`]. The processor must multiply tiles of bf16 (Intel's
/// AMX), the system must let the process use them, and the compiler must have supported them.
#[must_use]
pub fn conv2d_is_fast() -> bool {
    // SAFETY: the function takes nothing; it queries the processor and, once, the system.
    unsafe { ffi::torch_ext_conv2d_is_own() }
}

/// The convolution of `x` `[b, c_in, h, w]`, bf16, with `weight` `[c_out, c_in, k, k]`, f32, k 1 or 3, stride 1 and
/// size-preserving padding, plus `bias` `[c_out]`, f32. The result is `[b, c_out, h, w]`, bf16, channels_last.
///
/// The forward pass is libtorch's, with the weight rounded to bf16. If [`conv2d_is_fast`], the gradients of weight and bias
/// are f32 sums of products of bf16 numbers, never rounded to bf16, and bitwise the same for any number of threads.
/// Otherwise libtorch computes them: rounded to bf16, and the number of threads may change their last bits. The gradient of
/// the gradient is refused.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], [`TorchExtError::Device`], [`TorchExtError::Kind`] and
/// [`TorchExtError::Shape`] for unsuitable tensors; [`TorchExtError::Torch`] when libtorch refuses, for example for
/// lack of memory.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TorchExtError> {
    conv2d_with(x, weight, bias, WeightGradient::Best)
}

/// [`conv2d`] with a choice of gradients, to compare them.
///
/// # Errors
/// The same as for [`conv2d`].
pub fn conv2d_with(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    gradient: WeightGradient,
) -> Result<Tensor, TorchExtError> {
    check(x, weight, bias)?;
    let own = gradient == WeightGradient::Best;
    let mut out = ptr::null_mut();
    // SAFETY: the tensors are borrowed for the call; device, types and shapes are what the kernel expects. `out` is
    // written if there is no error.
    let text =
        unsafe { ffi::torch_ext_conv2d(x.as_ptr(), weight.as_ptr(), bias.as_ptr(), own, &raw mut out) };
    checked("conv2d", text)?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<(), TorchExtError> {
    let shape = |what, got: Vec<i64>, expected: &str| {
        Err(TorchExtError::Shape { what, got, expected: expected.to_owned() })
    };
    for (what, tensor) in [("x", x), ("weight", weight), ("bias", bias)] {
        strided(what, tensor)?;
    }
    let (size, kernel) = (x.size(), weight.size());
    let &[_, c_in, _, _] = &size[..] else { return shape("x", size, "[b, c, h, w]") };
    if size.contains(&0) {
        return shape("x", size, "[b, c, h, w], none of them 0");
    }
    let &[c_out, of_weight, k, k_too] = &kernel[..] else {
        return shape("weight", kernel, "[c_out, c_in, k, k]");
    };
    if c_out == 0 || of_weight != c_in || k != k_too || !matches!(k, 1 | 3) {
        let expected = format!("[c_out, {c_in}, k, k] with k 1 or 3");
        return shape("weight", kernel, &expected);
    }
    if bias.size() != [c_out] {
        return shape("bias", bias.size(), &format!("[{c_out}]"));
    }
    let kinds = [
        ("x", x, Kind::BFloat16, "BFloat16"),
        ("weight", weight, Kind::Float, "Float"),
        ("bias", bias, Kind::Float, "Float"),
    ];
    for (what, tensor, kind, expected) in kinds {
        if tensor.kind() != kind {
            return Err(TorchExtError::Kind { what, got: tensor.kind(), expected });
        }
        if tensor.device() != Device::Cpu {
            let (got, expected) = (tensor.device(), Device::Cpu);
            return Err(TorchExtError::Device { call: "conv2d", what, got, expected });
        }
    }
    Ok(())
}
