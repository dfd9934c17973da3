//! Adam's update in one pass over the numbers, and gradients that are gone instead of zero.

use tch::{Device, Kind, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// The numbers of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct AdamStep {
    /// The parameter is multiplied by it first: `1 - lr * weight_decay` (Loshchilov & Hutter 2019).
    pub keep: f64,
    /// The gradient is multiplied by it: below 1 where it is clipped.
    pub gradient_scale: f64,
    /// Decay of the average of the gradient.
    pub beta1: f64,
    /// Decay of the average of its square.
    pub beta2: f64,
    /// `lr / (1 - beta1^t)`.
    pub step_size: f64,
    /// `1 / sqrt(1 - beta2^t)`.
    pub second_scale: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// Whether [`adam_step`] takes them: f32 or f64 in the host's memory, all of one type, shape and layout without gaps.
#[must_use]
pub fn adam_step_takes(tensors: [&Tensor; 4]) -> bool {
    refusal(tensors).is_none()
}

/// `g = gradient * gradient_scale`, `m += (1 - beta1) (g - m)`, `v = beta2 v + (1 - beta2) g^2`,
/// `param = keep * param - step_size * m / (sqrt(v) * second_scale + eps)` (Kingma & Ba 2015, Algorithm 1), in place and
/// without a record for gradients. The result does not depend on the number of threads.
///
/// # Errors
/// [`TorchExtError::Device`], [`TorchExtError::Kind`] and [`TorchExtError::Shape`] for tensors that do not fit.
pub fn adam_step(
    param: &Tensor,
    gradient: &Tensor,
    (m, v): (&Tensor, &Tensor),
    step: &AdamStep,
) -> Result<(), TorchExtError> {
    if let Some(error) = refusal([param, gradient, m, v]) {
        return Err(error);
    }
    // SAFETY: the tensors are borrowed until the call is over, lie in the host's memory without gaps, and have one type
    // and as many numbers each; the numbers of the step have the layout that C++ expects.
    let text =
        unsafe { ffi::torch_ext_adam_step(param.as_ptr(), gradient.as_ptr(), m.as_ptr(), v.as_ptr(), step) };
    checked("adam_step", text)
}

/// The L2 norm of all numbers of all tensors together, in f64; `None` where one is not f32 or f64 in the host's memory
/// without gaps. It does not depend on the number of threads.
///
/// # Errors
/// [`TorchExtError::Torch`] when there is not enough memory.
pub fn joint_norm(tensors: &[Tensor]) -> Result<Option<f64>, TorchExtError> {
    let takes = |tensor: &Tensor| {
        tensor.defined()
            && tensor.device() == Device::Cpu
            && matches!(tensor.kind(), Kind::Float | Kind::Double)
            && tensor.is_contiguous()
    };
    if !tensors.iter().all(takes) {
        return Ok(None);
    }
    let pointers: Vec<*const torch_sys::C_tensor> = tensors.iter().map(|tensor| tensor.as_ptr()).collect();
    let mut norm = 0.0;
    // SAFETY: the pointers are those of tensors borrowed until the call is over, as many as are told, on the CPU and of types
    // that C++ reads; one number is written where it is told to.
    let text = unsafe { ffi::torch_ext_joint_norm(pointers.as_ptr(), pointers.len(), &raw mut norm) };
    checked("joint_norm", text)?;
    Ok(Some(norm))
}

/// Leaves `param` without a gradient. The next backward pass then puts its own there as it is, where it would add it to
/// zeros otherwise.
///
/// # Errors
/// [`TorchExtError::Torch`] for a tensor that can have none.
pub fn forget_gradient(param: &Tensor) -> Result<(), TorchExtError> {
    // SAFETY: the tensor is borrowed until the call is over.
    checked("forget_gradient", unsafe { ffi::torch_ext_forget_gradient(param.as_ptr()) })
}

fn refusal(tensors: [&Tensor; 4]) -> Option<TorchExtError> {
    const CALL: &str = "adam_step";
    let [param, ..] = tensors;
    let (size, kind) = (param.size(), param.kind());
    if !matches!(kind, Kind::Float | Kind::Double) {
        return Some(TorchExtError::Kind { what: "the parameter", got: kind, expected: "Float or Double" });
    }
    for (what, tensor) in
        ["the parameter", "the gradient", "the first moment", "the second moment"].into_iter().zip(tensors)
    {
        if !tensor.defined() || tensor.device() != Device::Cpu {
            let got = if tensor.defined() { tensor.device() } else { Device::Cpu };
            return Some(TorchExtError::Device { call: CALL, what, got });
        }
        if tensor.kind() != kind {
            let expected = if kind == Kind::Float { "Float" } else { "Double" };
            return Some(TorchExtError::Kind { what, got: tensor.kind(), expected });
        }
        if tensor.size() != size || !tensor.is_contiguous() {
            let expected = format!("{size:?}, contiguous");
            return Some(TorchExtError::Shape { what, got: tensor.size(), expected });
        }
    }
    None
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

    /// Against the formulas on whole tensors, with enough numbers for several threads.
    #[test]
    fn it_is_the_formula() {
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
    fn what_does_not_fit_is_refused_untouched() {
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
        assert_eq!(param, before);
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
        for other in [gaps, Tensor::new(), Tensor::from_slice(&[1_i64])] {
            assert_eq!(joint_norm(&[other]).unwrap(), None);
        }
    }

    #[test]
    fn a_gradient_that_is_forgotten_does_not_count() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        for _ in 0..2 {
            forget_gradient(&x).unwrap();
            assert!(!x.grad().defined());
            (&x * 3.0).sum(Kind::Float).backward();
            assert_eq!(x.grad(), Tensor::from_slice(&[3.0_f32, 3.0]));
        }
    }
}
