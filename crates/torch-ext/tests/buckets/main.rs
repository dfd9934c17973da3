//! Buckets of gradients that begin in a backward pass: their order, what they see, and how failures end.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod failures;
mod order;
mod pieces;

use tch::{Kind, Tensor};
use torch_ext::{TorchExtError, backward_in_buckets};

/// Parameters of one number.
fn leaves<const N: usize>() -> [Tensor; N] {
    std::array::from_fn(|index| Tensor::from_slice(&[index as f64 + 2.0]).set_requires_grad(true))
}

/// The product of all factors. Its gradients come from the last factor to the first.
fn product(factors: &[&Tensor]) -> Tensor {
    let first = Tensor::from_slice(&[1.0]);
    factors.iter().fold(first, |product, factor| product * *factor).sum(Kind::Double)
}

fn buckets(buckets: &[&[&Tensor]]) -> Vec<Vec<Tensor>> {
    buckets.iter().map(|bucket| bucket.iter().map(|param| param.shallow_clone()).collect()).collect()
}

/// The gradients as numbers; NaN for one that does not exist.
fn gradients(params: &[Tensor]) -> Vec<f64> {
    let number = |param: &Tensor| {
        let gradient = param.grad();
        if gradient.defined() { gradient.double_value(&[0]) } else { f64::NAN }
    };
    params.iter().map(number).collect()
}

/// What a pass begins: the buckets with their gradients at that moment, and the number of late gradients.
fn begun(plan: &[Vec<Tensor>], loss: &Tensor) -> (Vec<(usize, Vec<f64>)>, usize) {
    let mut all = Vec::new();
    let held: Vec<Vec<Tensor>> =
        plan.iter().map(|bucket| bucket.iter().map(Tensor::shallow_clone).collect()).collect();
    let seen = &mut all;
    let mut begin = move |bucket: usize| -> Result<(), TorchExtError> {
        seen.push((bucket, gradients(&held[bucket])));
        Ok(())
    };
    let late = backward_in_buckets(plan, &mut begin, || back(loss)).unwrap();
    (all, late)
}

/// How many buckets a pass begins, and how many gradients are late.
fn counted(
    plan: &[Vec<Tensor>],
    pass: impl FnOnce() -> Result<(), TorchExtError>,
) -> Result<(usize, usize), TorchExtError> {
    let mut calls = 0;
    let mut begin = |_: usize| {
        calls += 1;
        Ok(())
    };
    let late = backward_in_buckets(plan, &mut begin, pass)?;
    Ok((calls, late))
}

/// The backward pass, with the error of this crate.
fn back(loss: &Tensor) -> Result<(), TorchExtError> {
    loss.f_backward().map_err(|error| TorchExtError::Torch { call: "backward", text: error.to_string() })
}
