//! Group normalisation together with its surroundings in a residual block, as one CPU operation.

use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::strided;

/// How the time modulates a feature map around its normalisation. The tensors may require gradients.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Modulation<'a> {
    /// Nothing.
    None,
    /// Added before the norm: `[b, c]`, norm of `x + shift` (Ho et al. 2020).
    Shift(&'a Tensor),
    /// Scale and shift after the norm: `[b, 2 c]`, `norm(x) (1 + scale) + shift` (Dhariwal & Nichol 2021).
    ScaleShift(&'a Tensor),
}

/// The parameters of a group normalisation (Wu & He 2018).
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'a> {
    /// `[c]`.
    pub weight: &'a Tensor,
    /// `[c]`.
    pub bias: &'a Tensor,
    /// Number of groups.
    pub groups: i64,
    /// Added to the variance.
    pub eps: f64,
}

/// The vectors that the kernel uses. It never uses wider ones than the processor supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vectors {
    /// The widest available, with the bf16 instructions.
    Best,
    /// At most 16 floats, as in AVX-512, without the bf16 instructions.
    UpTo16,
    /// At most 8 floats, as in AVX2.
    UpTo8,
    /// At most 4 floats, which every x86-64 processor supports.
    UpTo4,
}

impl Vectors {
    pub(crate) fn lanes(self) -> i64 {
        match self {
            Self::Best => i64::MAX,
            Self::UpTo16 => 16,
            Self::UpTo8 => 8,
            Self::UpTo4 => 4,
        }
    }
}

/// `norm(x)`, modulated, and optionally its SiLU, in one pass for the statistics and one for the result; the gradient
/// likewise. Sums are f32 within a few hundred numbers and f64 beyond.
///
/// `x` is `[b, c, h, w]`, f32, bf16 or f64 on the CPU, in any memory layout; the result has its shape and type and is
/// channels_last. Weight, bias and modulation are f32, or f64 if `x` is. Results do not depend on the number of
/// threads. The gradient of the gradient is refused.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], [`TorchExtError::Device`], [`TorchExtError::Kind`],
/// [`TorchExtError::Shape`] and [`TorchExtError::Groups`] for unsuitable tensors; [`TorchExtError::Torch`] when libtorch refuses,
/// for example for lack of memory.
pub fn group_norm(
    x: &Tensor,
    norm: &GroupNorm<'_>,
    modulation: Modulation<'_>,
    silu: bool,
) -> Result<Tensor, TorchExtError> {
    group_norm_with(x, norm, modulation, silu, Vectors::Best)
}

/// [`group_norm`], and `x` again, without a copy, for the other branch of a residual block. The gradient from that
/// branch is added while the gradient of `x` is written, which saves a pass over it; in bf16 it is rounded once instead
/// of twice.
///
/// # Errors
/// Those of [`group_norm`].
pub fn group_norm_branch(
    x: &Tensor,
    norm: &GroupNorm<'_>,
    modulation: Modulation<'_>,
    silu: bool,
) -> Result<(Tensor, Tensor), TorchExtError> {
    let mut branch = ptr::null_mut();
    let z = call(x, norm, modulation, silu, (Vectors::Best, &raw mut branch))?;
    // SAFETY: without an error `branch` is a new tensor with no other owner.
    Ok((z, unsafe { Tensor::from_ptr(branch) }))
}

/// [`group_norm`] with vectors of a limited width, to compare them.
///
/// # Errors
/// Those of [`group_norm`].
pub fn group_norm_with(
    x: &Tensor,
    norm: &GroupNorm<'_>,
    modulation: Modulation<'_>,
    silu: bool,
    vectors: Vectors,
) -> Result<Tensor, TorchExtError> {
    call(x, norm, modulation, silu, (vectors, ptr::null_mut()))
}

/// `branch` receives `x` as a second result, or is null.
fn call(
    x: &Tensor,
    norm: &GroupNorm<'_>,
    modulation: Modulation<'_>,
    silu: bool,
    (vectors, branch): (Vectors, *mut *mut C_tensor),
) -> Result<Tensor, TorchExtError> {
    check(x, norm, modulation)?;
    let (shift, scale_shift) = match modulation {
        Modulation::None => (ptr::null(), ptr::null()),
        Modulation::Shift(shift) => (shift.as_ptr(), ptr::null()),
        Modulation::ScaleShift(both) => (ptr::null(), both.as_ptr()),
    };
    let (weight, bias) = (norm.weight.as_ptr(), norm.bias.as_ptr());
    let mut out = ptr::null_mut();
    // SAFETY: the pointers belong to tensors borrowed for the call, or are null where that is allowed; device, types and
    // shapes are what the kernel expects. `out`, and `branch` if not null, are written if there is no error.
    let text = unsafe {
        ffi::torch_ext_group_norm(
            x.as_ptr(),
            weight,
            bias,
            shift,
            scale_shift,
            norm.groups,
            norm.eps,
            silu,
            vectors.lanes(),
            &raw mut out,
            branch,
        )
    };
    checked("group_norm", text)?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

fn check(x: &Tensor, norm: &GroupNorm<'_>, modulation: Modulation<'_>) -> Result<(), TorchExtError> {
    const CALL: &str = "group_norm";
    for (what, tensor) in [("x", x), ("weight", norm.weight), ("bias", norm.bias)] {
        strided(what, tensor)?;
    }
    let size = x.size();
    let &[b, c, h, w] = &size[..] else {
        return Err(TorchExtError::Shape { what: "x", got: size, expected: "[b, c, h, w]".to_owned() });
    };
    if [b, c, h, w].contains(&0) {
        let expected = "[b, c, h, w], none of them 0".to_owned();
        return Err(TorchExtError::Shape { what: "x", got: size, expected });
    }
    if norm.groups < 1 || c % norm.groups != 0 {
        return Err(TorchExtError::Groups { groups: norm.groups, channels: c });
    }
    let kind = match x.kind() {
        Kind::Float | Kind::BFloat16 => Kind::Float,
        Kind::Double => Kind::Double,
        got => return Err(TorchExtError::Kind { what: "x", got, expected: "Float, BFloat16 or Double" }),
    };
    let parts = [("weight", norm.weight, vec![c]), ("bias", norm.bias, vec![c])];
    let modulation = match modulation {
        Modulation::None => None,
        Modulation::Shift(shift) => Some(("the shift", shift, vec![b, c])),
        Modulation::ScaleShift(both) => Some(("the scale and shift", both, vec![b, 2 * c])),
    };
    for (what, tensor, expected) in parts.into_iter().chain(modulation) {
        strided(what, tensor)?;
        if tensor.size() != expected {
            return Err(TorchExtError::Shape { what, got: tensor.size(), expected: format!("{expected:?}") });
        }
        if tensor.kind() != kind {
            let expected = if kind == Kind::Float { "Float" } else { "Double" };
            return Err(TorchExtError::Kind { what, got: tensor.kind(), expected });
        }
        on_cpu(CALL, what, tensor)?;
    }
    on_cpu(CALL, "x", x)
}

fn on_cpu(call: &'static str, what: &'static str, tensor: &Tensor) -> Result<(), TorchExtError> {
    let got = tensor.device();
    let expected = Device::Cpu;
    if got == expected { Ok(()) } else { Err(TorchExtError::Device { call, what, got, expected }) }
}
