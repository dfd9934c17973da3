//! Concatenation of feature maps along their channels.

use std::ptr;

use tch::{Device, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::strided;

/// Joins `a` `[b, c, h, w]` and `b` `[b, d, h, w]`, of one type and in host memory, to `[b, c + d, h, w]`, channels_last. The
/// gradients are dense; those of libtorch's concatenation are slices.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], [`TorchExtError::Device`], [`TorchExtError::Kind`] and
/// [`TorchExtError::Shape`] for unsuitable tensors; [`TorchExtError::Torch`] when there is not enough memory.
pub fn join_channels(a: &Tensor, b: &Tensor) -> Result<Tensor, TorchExtError> {
    const CALL: &str = "join_channels";
    for (what, tensor) in [("a", a), ("b", b)] {
        strided(what, tensor)?;
        if tensor.device() != Device::Cpu {
            let (got, expected) = (tensor.device(), Device::Cpu);
            return Err(TorchExtError::Device { call: CALL, what, got, expected });
        }
    }
    if a.kind() != b.kind() {
        return Err(TorchExtError::Kind { what: "b", got: b.kind(), expected: "the type of a" });
    }
    let (of_a, of_b) = (a.size(), b.size());
    let fits = of_a.len() == 4 && of_b.len() == 4 && of_a[0] == of_b[0] && of_a[2..] == of_b[2..];
    if !fits {
        let expected = format!("that of a, {of_a:?}, but for the channels, and four dimensions");
        return Err(TorchExtError::Shape { what: "b", got: of_b, expected });
    }
    let mut out = ptr::null_mut();
    // SAFETY: the tensors are borrowed for the call, are in host memory, of one type and of matching shapes; `out` is written
    // if there is no error.
    checked(CALL, unsafe { ffi::torch_ext_join_channels(a.as_ptr(), b.as_ptr(), &raw mut out) })?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{channels_last, is_channels_last};
    use tch::Kind;

    fn normals(size: &[i64], stream: u64) -> Tensor {
        let count = size.iter().product::<i64>() as usize;
        let numbers = random::Stream::new(5, random::Purpose::Figure, stream, 0).normals(count);
        Tensor::from_slice(&numbers).view(size)
    }

    /// Bitwise the same as libtorch's concatenation and its gradients, for both layouts.
    #[test]
    fn it_matches_libtorchs_concatenation() {
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            for (c, d, h, w) in [(3, 5, 7, 2), (64, 32, 16, 16), (1, 1, 1, 1), (96, 1, 33, 5)] {
                for inner in [false, true] {
                    let make = |channels, stream| {
                        let x = normals(&[2, channels, h, w], stream).to_kind(kind);
                        (if inner { channels_last(&x, kind).unwrap() } else { x }).set_requires_grad(true)
                    };
                    let (a, b) = (make(c, 0), make(d, 1));
                    let joined = join_channels(&a, &b).unwrap();
                    assert_eq!(joined, Tensor::cat(&[&a, &b], 1), "{kind:?} {c} {d} {h} {w}");
                    assert!(is_channels_last(&joined).unwrap());
                    let gradient = normals(&[2, c + d, h, w], 2).to_kind(kind);
                    joined.backward_with(&gradient);
                    assert_eq!(a.grad(), gradient.narrow(1, 0, c));
                    assert_eq!(b.grad(), gradient.narrow(1, c, d));
                }
            }
        }
    }

    trait BackwardWith {
        fn backward_with(&self, gradient: &Tensor);
    }

    impl BackwardWith for Tensor {
        /// Uses a sum of products as the loss, so that the gradient of the tensor is `gradient`.
        fn backward_with(&self, gradient: &Tensor) {
            (self * gradient).sum(Kind::Double).backward();
        }
    }

    #[test]
    fn gradients_of_gradients_are_supported() {
        let (a, b) = (normals(&[1, 2, 3, 3], 0).set_requires_grad(true), normals(&[1, 1, 3, 3], 1));
        let loss = join_channels(&a, &b).unwrap().pow_tensor_scalar(3).sum(Kind::Float);
        let first = Tensor::run_backward(&[loss], &[&a], true, true);
        first[0].sum(Kind::Float).backward();
        assert!(f64::try_from((a.grad() - a.detach() * 6.0).abs().max()).unwrap() < 1e-5);
    }

    #[test]
    fn unsuitable_tensors_are_refused() {
        let a = normals(&[2, 3, 4, 4], 0);
        for size in [&[1_i64, 3, 4, 4][..], &[2, 3, 4, 5], &[2, 3, 16]] {
            assert!(
                matches!(join_channels(&a, &normals(size, 1)), Err(TorchExtError::Shape { .. })),
                "{size:?}"
            );
        }
        assert!(matches!(join_channels(&a, &a.to_kind(Kind::Double)), Err(TorchExtError::Kind { .. })));
        assert!(matches!(join_channels(&Tensor::new(), &a), Err(TorchExtError::Undefined { what: "a" })));
    }
}
