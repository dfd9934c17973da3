//! Adam's update in one pass over the numbers, and removal of gradients.

use tch::{Device, Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain::{apart, in_memory};

/// The settings of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct AdamStep {
    /// Factor applied to the parameter first: `1 - lr * weight_decay` (Loshchilov & Hutter 2019).
    pub keep: f64,
    /// Factor applied to the gradient; below 1 if it is clipped.
    pub gradient_scale: f64,
    /// Decay of the average of the gradient.
    pub beta1: f64,
    /// Decay of the average of its square.
    pub beta2: f64,
    /// `lr / (1 - beta1^t)`.
    pub step_size: f64,
    /// `1 / sqrt(1 - beta2^t)`.
    pub second_scale: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
}

/// Whether [`adam_step`] accepts these tensors: f32 or f64 in host memory, all of one type, shape and layout without
/// gaps, and none sharing memory with another.
#[must_use]
pub fn adam_step_takes(tensors: [&Tensor; 4]) -> bool {
    check(tensors).is_ok()
}

/// `g = gradient * gradient_scale`, `m += (1 - beta1) (g - m)`, `v = beta2 v + (1 - beta2) g^2`,
/// `param = keep * param - step_size * m / (sqrt(v) * second_scale + eps)` (Kingma & Ba 2015, Algorithm 1), in place and
/// not recorded by autograd. The result does not depend on the number of threads.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`], [`TorchExtError::Device`], [`TorchExtError::Kind`] and
/// [`TorchExtError::Shape`] for unsuitable tensors; [`TorchExtError::Overlap`] when two share memory;
/// [`TorchExtError::Torch`] for tensors made in [`crate::inference_mode`]. Nothing is changed then.
pub fn adam_step(
    param: &Tensor,
    gradient: &Tensor,
    (m, v): (&Tensor, &Tensor),
    step: &AdamStep,
) -> Result<(), TorchExtError> {
    check([param, gradient, m, v])?;
    // SAFETY: the tensors are borrowed for the call, are in host memory without gaps and do not overlap, and have one
    // type and equally many numbers each; the settings of the step have the layout that C++ expects.
    let text =
        unsafe { ffi::torch_ext_adam_step(param.as_ptr(), gradient.as_ptr(), m.as_ptr(), v.as_ptr(), step) };
    checked("adam_step", text)
}

/// The L2 norm of all numbers of all tensors together, in f64; `None` if one is not f32 or f64 in host memory without
/// gaps. It does not depend on the number of threads.
///
/// # Errors
/// [`TorchExtError::Torch`] when there is not enough memory.
pub fn joint_norm(tensors: &[Tensor]) -> Result<Option<f64>, TorchExtError> {
    let takes = |tensor: &Tensor| {
        in_memory("a tensor", tensor).is_ok()
            && tensor.device() == Device::Cpu
            && matches!(tensor.kind(), Kind::Float | Kind::Double)
            && tensor.is_contiguous()
    };
    if !tensors.iter().all(takes) {
        return Ok(None);
    }
    let pointers: Vec<*const torch_sys::C_tensor> = tensors.iter().map(|tensor| tensor.as_ptr()).collect();
    let mut norm = 0.0;
    // SAFETY: the pointers belong to tensors borrowed for the call, their number is passed, and the tensors are on the CPU
    // and of types that C++ reads; one number is written through the last argument.
    let text = unsafe { ffi::torch_ext_joint_norm(pointers.as_ptr(), pointers.len(), &raw mut norm) };
    checked("joint_norm", text)?;
    Ok(Some(norm))
}

/// Removes the gradient of `param`. The next backward pass then stores its own gradient directly; otherwise it would
/// add it to zeros.
///
/// # Errors
/// [`TorchExtError::Undefined`] for an undefined tensor; [`TorchExtError::Torch`] for one that cannot have a gradient.
pub fn forget_gradient(param: &Tensor) -> Result<(), TorchExtError> {
    // libtorch has one shared object for all undefined tensors, which must not be modified.
    if !param.defined() {
        return Err(TorchExtError::Undefined { what: "the parameter" });
    }
    // SAFETY: the tensor is borrowed for the call.
    checked("forget_gradient", unsafe { ffi::torch_ext_forget_gradient(param.as_ptr()) })
}

fn check(tensors: [&Tensor; 4]) -> Result<(), TorchExtError> {
    const CALL: &str = "adam_step";
    const NAMES: [&str; 4] = ["the parameter", "the gradient", "the first moment", "the second moment"];
    let named: [(&str, &Tensor); 4] = std::array::from_fn(|index| (NAMES[index], tensors[index]));
    for (what, tensor) in named {
        in_memory(what, tensor)?;
    }
    let [param, ..] = tensors;
    let (size, kind) = (param.size(), param.kind());
    if !matches!(kind, Kind::Float | Kind::Double) {
        return Err(TorchExtError::Kind { what: NAMES[0], got: kind, expected: "Float or Double" });
    }
    for (what, tensor) in named {
        if tensor.device() != Device::Cpu {
            let (got, expected) = (tensor.device(), Device::Cpu);
            return Err(TorchExtError::Device { call: CALL, what, got, expected });
        }
        if tensor.kind() != kind {
            let expected = if kind == Kind::Float { "Float" } else { "Double" };
            return Err(TorchExtError::Kind { what, got: tensor.kind(), expected });
        }
        if tensor.size() != size || !tensor.is_contiguous() {
            let expected = format!("{size:?}, contiguous");
            return Err(TorchExtError::Shape { what, got: tensor.size(), expected });
        }
    }
    apart(&named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: AdamStep = AdamStep {
        keep: 0.99,
        gradient_scale: 0.5,
        beta1: 0.9,
        beta2: 0.99,
        step_size: 0.1,
        second_scale: 3.0,
        eps: 1e-3,
    };

    fn four(kind: Kind, size: &[i64]) -> [Tensor; 4] {
        let numbers = |from: f64| {
            let count = size.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.01 + from).sin().view(size).to_kind(kind)
        };
        [numbers(0.0), numbers(1.0), numbers(2.0), numbers(3.0).square()]
    }

    /// Compares with the formulas on whole tensors, with enough numbers for several threads.
    #[test]
    fn it_matches_the_formula() {
        for (kind, limit) in [(Kind::Double, 1e-14), (Kind::Float, 1e-6)] {
            let [param, gradient, m, v] = four(kind, &[7, 20_000]);
            let g = &gradient * 0.5;
            let want_m: Tensor = &m + 0.1 * (&g - &m);
            let want_v: Tensor = 0.99 * &v + (1.0 - 0.99) * (&g * &g);
            let denominator: Tensor = want_v.sqrt() * 3.0 + 1e-3;
            let want: Tensor = 0.99 * &param - 0.1 * (&want_m / denominator);
            adam_step(&param, &gradient, (&m, &v), &STEP).unwrap();
            for (got, want) in [(param, want), (m, want_m), (v, want_v)] {
                assert!(f64::try_from((got - want).abs().max()).unwrap() < limit, "{kind:?}");
            }
        }
    }

    #[test]
    fn unsuitable_tensors_are_refused_unchanged() {
        let [param, gradient, m, v] = four(Kind::Float, &[4, 6]);
        let before = param.copy();
        let others = [
            gradient.to_kind(Kind::Double),
            gradient.narrow(1, 0, 5),
            gradient.transpose(0, 1).contiguous().transpose(0, 1),
            gradient.to_kind(Kind::BFloat16),
        ];
        for other in others {
            assert!(adam_step(&param, &other, (&m, &v), &STEP).is_err());
            assert!(!adam_step_takes([&param, &other, &m, &v]));
        }
        let half = param.to_kind(Kind::Half);
        assert!(adam_step(&half, &half, (&half, &half), &STEP).is_err());
        assert!(!adam_step_takes([&param, &Tensor::new(), &m, &v]));
        assert!(matches!(
            adam_step(&Tensor::new(), &gradient, (&m, &v), &STEP),
            Err(TorchExtError::Undefined { what: "the parameter" })
        ));
        assert!(matches!(
            adam_step(&param, &gradient.to_sparse(None, None::<i64>, None), (&m, &v), &STEP),
            Err(TorchExtError::Layout { what: "the gradient" })
        ));
        assert!(matches!(
            adam_step(&param, &gradient.internal_neg_view(), (&m, &v), &STEP),
            Err(TorchExtError::Layout { what: "the gradient" })
        ));
        assert_eq!(param, before);
    }

    #[test]
    fn tensors_that_share_memory_are_refused_unchanged() {
        let [param, gradient, m, v] = four(Kind::Float, &[4, 6]);
        let flat = Tensor::cat(&[m.flatten(0, -1), v.flatten(0, -1)], 0);
        let before = [&param, &m, &v, &flat].map(Tensor::copy);
        let part = |first| flat.narrow(0, first, 24).view([4, 6]);
        for (four, expected) in [
            ([&param, &param, &m, &v], ("the parameter", "the gradient")),
            ([&param, &gradient, &m, &m], ("the first moment", "the second moment")),
            ([&param, &gradient, &part(0), &part(23)], ("the first moment", "the second moment")),
        ] {
            let error = adam_step(four[0], four[1], (four[2], four[3]), &STEP).unwrap_err();
            assert!(
                matches!(error, TorchExtError::Overlap { what, with } if (what, with) == expected),
                "{error}, expected {expected:?}"
            );
            assert!(!adam_step_takes(four));
        }
        assert_eq!([&param, &m, &v, &flat].map(Tensor::copy), before);
        // Adjacent tensors in one block of memory do not overlap.
        adam_step(&param, &gradient, (&part(0), &part(24)), &STEP).unwrap();
        assert_ne!(flat, before[3]);
    }

    /// Such a tensor must not be changed outside of that mode, and must not be partly changed.
    #[test]
    fn a_tensor_of_inference_mode_is_refused_unchanged() {
        let [param, gradient, m, v] = four(Kind::Float, &[4, 6]);
        let frozen = crate::inference_mode(|| v.copy()).unwrap();
        let before = param.copy();
        let error = adam_step(&param, &gradient, (&m, &frozen), &STEP).unwrap_err();
        assert!(matches!(error, TorchExtError::Torch { .. }), "{error}");
        assert_eq!((param, frozen), (before, v));
    }

    #[test]
    fn the_norm_is_that_of_all_numbers() {
        for (sizes, kind) in
            [(vec![3, 1, 100_003], Kind::Float), (vec![7, 40_000], Kind::Double), (vec![], Kind::Float)]
        {
            let tensors: Vec<Tensor> =
                sizes.iter().map(|&size| four(kind, &[size])[1].shallow_clone()).collect();
            let squares: f64 = tensors
                .iter()
                .map(|tensor| f64::try_from(tensor.to_kind(Kind::Double).square().sum(Kind::Double)).unwrap())
                .sum();
            let norm = joint_norm(&tensors).unwrap().unwrap();
            assert!((norm - squares.sqrt()).abs() <= 1e-12 * norm, "{norm}, expected {}", squares.sqrt());
        }
        let nan = Tensor::from_slice(&[1.0_f32, f32::NAN]);
        assert!(joint_norm(&[nan]).unwrap().unwrap().is_nan());
        let gaps = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).view([2, 2]).select(1, 0);
        let zeros = Tensor::internal_efficientzerotensor([3], (Kind::Float, Device::Cpu));
        let sparse = Tensor::from_slice(&[1.0_f32, 0.0]).to_sparse(None, None::<i64>, None);
        for other in [gaps, Tensor::new(), Tensor::from_slice(&[1_i64]), zeros, sparse] {
            assert_eq!(joint_norm(&[other]).unwrap(), None);
        }
    }

    #[test]
    fn a_removed_gradient_does_not_count() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        for _ in 0..2 {
            forget_gradient(&x).unwrap();
            assert!(!x.grad().defined());
            (&x * 3.0).sum(Kind::Float).backward();
            assert_eq!(x.grad(), Tensor::from_slice(&[3.0_f32, 3.0]));
        }
        assert!(matches!(forget_gradient(&Tensor::new()), Err(TorchExtError::Undefined { .. })));
    }
}
