//! Checks of a tensor before C++ reads or writes its memory.

use std::ops::Range;

use tch::Tensor;

use crate::error::TorchExtError;
use crate::ffi;

/// How a tensor stores its numbers. The order must match `Numbers` in `cpp/plain.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Undefined,
    /// Sparse or packed: no address per number.
    Elsewhere,
    /// In memory, but flagged as negated, conjugated or all zero.
    Marked,
    /// In memory as plain numbers.
    Plain,
}

fn numbers(tensor: &Tensor) -> Numbers {
    // SAFETY: the tensor is borrowed for the call.
    match unsafe { ffi::torch_ext_numbers_of(tensor.as_ptr()) } {
        0 => Numbers::Undefined,
        2 => Numbers::Marked,
        3 => Numbers::Plain,
        _ => Numbers::Elsewhere,
    }
}

/// Refuses tensors without strides; flagged tensors are resolved in C++. Do this check first: tch panics on most queries
/// of a tensor without strides.
pub(crate) fn strided(what: &'static str, tensor: &Tensor) -> Result<(), TorchExtError> {
    match numbers(tensor) {
        Numbers::Undefined => Err(TorchExtError::Undefined { what }),
        Numbers::Elsewhere => Err(TorchExtError::Layout { what }),
        Numbers::Marked | Numbers::Plain => Ok(()),
    }
}

/// Refuses tensors whose memory does not hold plain numbers: for tensors that are written in place.
pub(crate) fn in_memory(what: &'static str, tensor: &Tensor) -> Result<(), TorchExtError> {
    strided(what, tensor)?;
    if numbers(tensor) == Numbers::Plain { Ok(()) } else { Err(TorchExtError::Layout { what }) }
}

/// Refuses a tensor whose memory another one can see: for memory that a thread writes to while the program runs on. The
/// tensor is [`in_memory`].
pub(crate) fn unshared(what: &'static str, tensor: &Tensor) -> Result<(), TorchExtError> {
    // SAFETY: the tensor is borrowed for the call, and has memory.
    if unsafe { ffi::torch_ext_is_unshared(tensor.as_ptr()) } {
        return Ok(());
    }
    Err(TorchExtError::Overlap { what, with: "another tensor" })
}

/// Refuses tensors if two of them share memory. All must be contiguous.
pub(crate) fn apart(tensors: &[(&'static str, &Tensor)]) -> Result<(), TorchExtError> {
    let mut taken: Vec<(&'static str, Range<usize>)> = tensors
        .iter()
        .filter(|(_, tensor)| tensor.numel() > 0)
        .map(|(what, tensor)| {
            let start = tensor.data_ptr() as usize;
            (*what, start..start + tensor.numel() * tensor.kind().elt_size_in_bytes())
        })
        .collect();
    taken.sort_by_key(|(_, range)| range.start);
    match taken.windows(2).find(|pair| pair[1].1.start < pair[0].1.end) {
        Some(pair) => Err(TorchExtError::Overlap { what: pair[0].0, with: pair[1].0 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn numbers_to(count: i64) -> Tensor {
        Tensor::arange(count, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn every_kind_of_storage_is_recognised() {
        let x = numbers_to(6).view([2, 3]);
        let zeros = Tensor::internal_efficientzerotensor([2], (Kind::Float, Device::Cpu));
        for (tensor, expected) in [
            (x.shallow_clone(), Numbers::Plain),
            (x.tr().narrow(0, 1, 2), Numbers::Plain),
            (x.to_sparse(None, None::<i64>, None), Numbers::Elsewhere),
            (x.to_mkldnn(), Numbers::Elsewhere),
            (x.internal_neg_view(), Numbers::Marked),
            (Tensor::complex(&x, &x).conj(), Numbers::Marked),
            (zeros, Numbers::Marked),
            (Tensor::new(), Numbers::Undefined),
        ] {
            assert_eq!(numbers(&tensor), expected);
            assert_eq!(strided("x", &tensor).is_ok(), matches!(expected, Numbers::Plain | Numbers::Marked));
            assert_eq!(in_memory("x", &tensor).is_ok(), expected == Numbers::Plain);
        }
    }

    #[test]
    fn shared_memory_is_found_but_adjacent_memory_is_not() {
        let whole = numbers_to(10);
        let part = |first, count| whole.narrow(0, first, count);
        let (a, b, c) = (part(0, 4), part(4, 6), part(3, 2));
        apart(&[("b", &b), ("a", &a), ("none", &part(2, 0))]).unwrap();
        for pair in [[("a", &a), ("c", &c)], [("c", &c), ("b", &b)], [("a", &a), ("a too", &a)]] {
            assert!(matches!(apart(&pair), Err(TorchExtError::Overlap { .. })), "{pair:?}");
        }
    }

    #[test]
    fn a_second_handle_and_a_view_share_memory() {
        let x = numbers_to(4);
        let refused = |x: &Tensor| matches!(unshared("x", x), Err(TorchExtError::Overlap { .. }));
        assert!(!refused(&x));
        {
            let (handle, view) = (x.shallow_clone(), x.narrow(0, 0, 2));
            assert!(refused(&x) && refused(&handle) && refused(&view));
        }
        let view = x.narrow(0, 0, 2);
        assert!(refused(&x) && refused(&view));
        drop(view);
        assert!(!refused(&x));
    }
}
