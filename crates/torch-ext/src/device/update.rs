//! The updates of a training step for all parameters at once, with settings stored on the device.

use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::{apart, in_memory, strided};

/// The settings of Adam that stay the same in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct ListedAdam {
    /// Decay of the average of the gradient.
    pub beta1: f64,
    /// Decay of the average of its square.
    pub beta2: f64,
    /// Parameters are multiplied by `1 - lr * weight_decay` first (Loshchilov & Hutter 2019).
    pub weight_decay: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
}

/// Adam's update (Kingma & Ba 2015, Algorithm 1), in place, for rows `[parameter, gradient, first moment, second moment]`.
/// `taken` `[1]` counts the updates including this one, `lr` `[]` is the learning rate, gradients are divided by `divisor`
/// `[1]` and stay so afterwards, and nothing is updated where `skipped` `[1]` is 1. All are f32 on the tensors' device.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], [`TorchExtError::Device`], [`TorchExtError::Kind`] and
/// [`TorchExtError::Shape`] for unsuitable tensors; [`TorchExtError::Overlap`] when two share memory;
/// [`TorchExtError::Torch`] for devices without such an update in libtorch.
pub fn listed_adam(
    params: &[[&Tensor; 4]],
    taken: &Tensor,
    lr: &Tensor,
    (divisor, skipped): (&Tensor, &Tensor),
    numbers: &ListedAdam,
) -> Result<(), TorchExtError> {
    const CALL: &str = "listed_adam";
    let Some(device) = fit(CALL, params)? else { return Ok(()) };
    dense(params)?;
    for number in [taken, lr, divisor, skipped] {
        one(CALL, number, device)?;
    }
    let lists = lists(params);
    // SAFETY: `4 * count` pointers to tensors, which are borrowed for the call like the others, of one type and, in fours,
    // of one shape; the settings have the layout that C++ expects.
    let text = unsafe {
        ffi::torch_ext_listed_adam(
            lists.as_ptr(),
            params.len(),
            taken.as_ptr(),
            lr.as_ptr(),
            divisor.as_ptr(),
            skipped.as_ptr(),
            numbers,
        )
    };
    checked("listed_adam", text)
}

/// `average += weight (value - average)` for each `[average, value]`, in place; `weight` `[]` is f32 on their device.
///
/// # Errors
/// The same as for [`listed_adam`], except that a value may be part of another tensor.
pub fn listed_average(pairs: &[[&Tensor; 2]], weight: &Tensor) -> Result<(), TorchExtError> {
    const CALL: &str = "listed_average";
    let Some(device) = fit(CALL, pairs)? else { return Ok(()) };
    one(CALL, weight, device)?;
    let lists = lists(pairs);
    // SAFETY: `2 * count` pointers to tensors, which are borrowed for the call like the weight.
    let text = unsafe { ffi::torch_ext_listed_average(lists.as_ptr(), pairs.len(), weight.as_ptr()) };
    checked("listed_average", text)
}

/// The L2 norm `[]` of all numbers of all tensors together, on their device.
///
/// # Errors
/// [`TorchExtError::Undefined`], also if there are no tensors; [`TorchExtError::Layout`]; [`TorchExtError::Torch`] for different
/// devices.
pub fn listed_norm(tensors: &[Tensor]) -> Result<Tensor, TorchExtError> {
    if tensors.is_empty() {
        return Err(TorchExtError::Undefined { what: "a tensor" });
    }
    tensors.iter().try_for_each(|tensor| strided("a tensor", tensor))?;
    let pointers: Vec<*const C_tensor> = tensors.iter().map(|tensor| tensor.as_ptr()).collect();
    let mut out = ptr::null_mut();
    // SAFETY: as many pointers as stated, to tensors borrowed for the call; one pointer is written.
    let text = unsafe { ffi::torch_ext_listed_norm(pointers.as_ptr(), pointers.len(), &raw mut out) };
    checked("listed_norm", text)?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// All first tensors, then all second ones, and so on.
fn lists<const N: usize>(rows: &[[&Tensor; N]]) -> Vec<*const C_tensor> {
    (0..N).flat_map(|column| rows.iter().map(move |row| row[column].as_ptr())).collect()
}

/// Checks that all are f32 on one device, with one shape per row. Returns that device; `None` without rows.
fn fit<const N: usize>(call: &'static str, rows: &[[&Tensor; N]]) -> Result<Option<Device>, TorchExtError> {
    const WHAT: &str = "a tensor of the list";
    rows.iter().flatten().try_for_each(|tensor| in_memory(WHAT, tensor))?;
    let Some(device) = rows.first().map(|row| row[0].device()) else { return Ok(None) };
    for row in rows {
        let size = row[0].size();
        for tensor in row {
            on(call, WHAT, tensor, device)?;
            if tensor.size() != size {
                let expected = format!("{size:?}");
                return Err(TorchExtError::Shape { what: WHAT, got: tensor.size(), expected });
            }
        }
    }
    Ok(Some(device))
}

/// Adam's tensors are processed number by number, and some are written while others are read: they must have no gaps and must
/// not overlap.
fn dense(rows: &[[&Tensor; 4]]) -> Result<(), TorchExtError> {
    let names = ["a parameter", "a gradient", "a first moment", "a second moment"];
    let named: Vec<_> = rows.iter().flat_map(|row| names.into_iter().zip(row.iter().copied())).collect();
    if let Some((what, tensor)) = named.iter().find(|(_, tensor)| !tensor.is_contiguous()) {
        let expected = "contiguous".to_owned();
        return Err(TorchExtError::Shape { what, got: tensor.size(), expected });
    }
    apart(&named)
}

fn one(call: &'static str, number: &Tensor, device: Device) -> Result<(), TorchExtError> {
    const WHAT: &str = "a number";
    in_memory(WHAT, number)?;
    on(call, WHAT, number, device)?;
    if number.numel() != 1 {
        return Err(TorchExtError::Shape { what: WHAT, got: number.size(), expected: "[]".to_owned() });
    }
    Ok(())
}

fn on(call: &'static str, what: &'static str, tensor: &Tensor, device: Device) -> Result<(), TorchExtError> {
    if tensor.kind() != Kind::Float {
        return Err(TorchExtError::Kind { what, got: tensor.kind(), expected: "Float" });
    }
    let (got, expected) = (tensor.device(), device);
    if got == expected { Ok(()) } else { Err(TorchExtError::Device { call, what, got, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::{AdamStep, adam_step};

    const NUMBERS: ListedAdam = ListedAdam { beta1: 0.9, beta2: 0.99, weight_decay: 0.3, eps: 1e-6 };

    fn normals(stream: u64, size: &[i64]) -> Tensor {
        let count = size.iter().product::<i64>() as usize;
        let values = random::Stream::new(5, random::Purpose::Figure, stream, 0).normals(count);
        Tensor::from_slice(&values).view(size)
    }

    fn number(value: f64) -> Tensor {
        Tensor::full([1], value, (Kind::Float, Device::Cpu))
    }

    fn four(stream: u64, size: &[i64]) -> [Tensor; 4] {
        [0, 1, 2, 3].map(|part| {
            let x = normals(4 * stream + part, size);
            if part == 3 { x.square() } else { x }
        })
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        f64::try_from((a - b).norm() / b.norm()).unwrap()
    }

    #[test]
    fn the_list_is_updated_as_each_would_be() {
        let sizes: [&[i64]; 3] = [&[3], &[4, 5], &[2, 3, 3, 3]];
        let listed: Vec<[Tensor; 4]> =
            sizes.iter().zip(0..).map(|(size, stream)| four(stream, size)).collect();
        let single: Vec<[Tensor; 4]> = listed.iter().map(|four| four.each_ref().map(Tensor::copy)).collect();
        let rows: Vec<[&Tensor; 4]> = listed.iter().map(|four| four.each_ref()).collect();
        listed_adam(&rows, &number(7.0), &number(0.1).view(()), (&number(2.0), &number(0.0)), &NUMBERS)
            .unwrap();
        let step = AdamStep {
            keep: 1.0 - 0.1 * 0.3,
            gradient_scale: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            step_size: 0.1 / (1.0 - 0.9_f64.powi(7)),
            second_scale: 1.0 / (1.0 - 0.99_f64.powi(7)).sqrt(),
            eps: 1e-6,
        };
        for (got, [param, gradient, m, v]) in listed.iter().zip(&single) {
            let before = param.copy();
            adam_step(param, gradient, (m, v), &step).unwrap();
            for (got, expected) in [(&got[0], param), (&got[2], m), (&got[3], v)] {
                assert!(difference(got, expected) < 1e-6);
            }
            assert!(difference(&got[0], &before) > 1e-3);
        }
    }

    #[test]
    fn a_skipped_update_changes_nothing_but_the_gradient() {
        let mine = four(0, &[4, 5]);
        let before = mine.each_ref().map(Tensor::copy);
        let skipped = (&number(f64::NAN), &number(1.0));
        listed_adam(&[mine.each_ref()], &number(1.0), &number(0.1), skipped, &NUMBERS).unwrap();
        assert_eq!([&mine[0], &mine[2], &mine[3]], [&before[0], &before[2], &before[3]]);
    }

    #[test]
    fn averages_follow_and_norms_are_joint() {
        let (a, b) = (normals(0, &[4, 5]), normals(1, &[4, 5]));
        let expected = &a * 0.75 + &b * 0.25;
        listed_average(&[[&a, &b]], &number(0.25).view(())).unwrap();
        assert!(difference(&a, &expected) < 1e-6);
        let whole = Tensor::cat(&[a.flatten(0, -1), normals(2, &[7])], 0);
        let norm = listed_norm(&[a, normals(2, &[7])]).unwrap();
        assert!(norm.size().is_empty() && difference(&norm, &whole.norm()) < 1e-6);
    }

    #[test]
    fn unsuitable_tensors_are_refused() {
        let [p, g, m, v] = four(0, &[4, 5]);
        let (one, pair) = (number(1.0), number(0.0));
        let adam = |four: [&Tensor; 4], taken: &Tensor| {
            listed_adam(&[four], taken, &one, (&one, &pair), &NUMBERS).unwrap_err()
        };
        assert!(matches!(adam([&p, &g.to_kind(Kind::Double), &m, &v], &one), TorchExtError::Kind { .. }));
        assert!(matches!(adam([&p, &g.get(0), &m, &v], &one), TorchExtError::Shape { .. }));
        assert!(matches!(adam([&p, &g, &m.tr().contiguous().tr(), &v], &one), TorchExtError::Shape { .. }));
        assert!(matches!(adam([&p, &Tensor::new(), &m, &v], &one), TorchExtError::Undefined { .. }));
        assert!(matches!(adam([&p, &g, &m, &v], &g), TorchExtError::Shape { .. }));
        assert!(matches!(listed_average(&[[&p, &g.get(0)]], &one), Err(TorchExtError::Shape { .. })));
        assert!(matches!(listed_average(&[[&p, &g]], &Tensor::new()), Err(TorchExtError::Undefined { .. })));
        assert!(matches!(adam([&p, &g, &m, &m], &one), TorchExtError::Overlap { .. }));
        assert!(listed_norm(&[]).is_err() && listed_norm(&[p, Tensor::new()]).is_err());
        // An empty list is fine.
        listed_adam(&[], &one, &one, (&one, &one), &NUMBERS).unwrap();
        listed_average(&[], &one).unwrap();
    }
}
