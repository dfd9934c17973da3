//! The memory layout that suits convolutions on the CPU best: channels innermost.

use std::ptr;

use tch::{Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::strided;

/// Converts `x` `[b, c, h, w]` to the layout channels_last and to `kind`, with its gradient; without a copy if it is so
/// already. The shape stays `[b, c, h, w]`: only the strides change.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], and [`TorchExtError::Shape`] unless there are four
/// dimensions; [`TorchExtError::Kind`] for types other than f32, bf16, f16 and f64; [`TorchExtError::Torch`] when
/// libtorch refuses, for example for lack of memory.
pub fn channels_last(x: &Tensor, kind: Kind) -> Result<Tensor, TorchExtError> {
    four_dimensions(x)?;
    // The order of the table in `cpp/layout.cpp`.
    let kinds = [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double];
    let Some(index) = kinds.into_iter().position(|known| known == kind) else {
        let expected = "Float, BFloat16, Half or Double";
        return Err(TorchExtError::Kind { what: "the wanted type", got: kind, expected });
    };
    let mut out = ptr::null_mut();
    // SAFETY: the tensor is borrowed for the call, and the index is in the table; `out` is written if there is no error.
    let text = unsafe { ffi::torch_ext_channels_last(x.as_ptr(), index as i32, &raw mut out) };
    checked("channels_last", text)?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Whether the channels of `x` `[b, c, h, w]` are innermost, without gaps.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], and [`TorchExtError::Shape`] unless there are four
/// dimensions.
pub fn is_channels_last(x: &Tensor) -> Result<bool, TorchExtError> {
    four_dimensions(x)?;
    let mut yes = false;
    // SAFETY: the tensor is borrowed for the call, and one bool is written through the argument.
    checked("is_channels_last", unsafe { ffi::torch_ext_is_channels_last(x.as_ptr(), &raw mut yes) })?;
    Ok(yes)
}

fn four_dimensions(x: &Tensor) -> Result<(), TorchExtError> {
    strided("x", x)?;
    let got = x.size();
    let expected = || "[b, c, h, w]".to_owned();
    if got.len() == 4 { Ok(()) } else { Err(TorchExtError::Shape { what: "x", got, expected: expected() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_values_stay_and_the_strides_change() {
        let x = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        assert!(!is_channels_last(&x).unwrap());
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double] {
            let y = channels_last(&x, kind).unwrap();
            assert!(is_channels_last(&y).unwrap());
            assert_eq!((y.kind(), y.stride()), (kind, vec![60, 1, 15, 3]));
            assert_eq!(y.to_kind(Kind::Float), x);
            // A second conversion does not copy.
            assert_eq!(channels_last(&y, kind).unwrap().data_ptr(), y.data_ptr());
        }
        assert!(matches!(channels_last(&x.get(0), Kind::Float), Err(TorchExtError::Shape { .. })));
        assert!(is_channels_last(&x.get(0)).is_err());
        assert!(matches!(channels_last(&x, Kind::Int64), Err(TorchExtError::Kind { .. })));
    }

    #[test]
    fn gradients_come_through() {
        let x = Tensor::ones([1, 2, 3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (channels_last(&x, Kind::BFloat16).unwrap() * 3.0).sum(Kind::Float).backward();
        assert_eq!(x.grad(), x.detach() * 3.0);
    }
}
