//! Whether libtorch computes correctly on this machine: kernels against their definitions, precisions against each
//! other, gradients against differences, the GPU against the CPU.

use ndarray::{Array1, Array3, Array4, ArrayD, Dimension};
use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use unet::{Backbone, Pass, UNetConfig};

use crate::networks;

use super::reference;
use super::report::Check;

/// f32 keeps 24 bits; sums of a hundred terms lose a few of them.
const F32: f64 = 1e-5;
/// bf16 keeps 8 bits, through some thirty layers.
const BF16: f64 = 0.1;
/// GPUs round the factors of f32 convolutions to 10 bits (TF32) unless told otherwise.
const TF32: f64 = 1e-2;
/// Error of a difference quotient in f32 weights.
const GRADIENT: f64 = 1e-2;

/// Runs all checks on the CPU and, if it is another device, on the chosen one.
pub(super) fn checks(device: Device) -> Vec<Check> {
    let mut checks = vec![
        Check::attempt("convolution", || convolution(Device::Cpu)),
        Check::attempt("normalisation", || normalisation(Device::Cpu)),
        Check::attempt("attention", || attention(Device::Cpu)),
        Check::attempt("network", || network(Kind::Double, "f32 against f64", F32)),
        Check::attempt("network bf16", || network(Kind::BFloat16, "bf16 against f32", BF16)),
        Check::attempt("gradient", gradient),
    ];
    if device.is_cuda() {
        checks.push(Check::attempt("GPU f32", || on_gpu(device, Kind::Float, TF32)));
        checks.push(Check::attempt("GPU bf16", || on_gpu(device, Kind::BFloat16, BF16)));
    }
    checks
}

/// Passes if the difference is within the limit.
fn judge(name: &'static str, what: &str, distance: f64, limit: f64) -> Check {
    let found = format!("{what}: relative difference {distance:.1e}, at most {limit:.0e} allowed");
    if distance <= limit {
        Check::ok(name, found)
    } else {
        let advice =
            "do not trust results: try --device cpu, or get a fresh libtorch with `cargo xtask setup`";
        Check::fail(name, found, advice)
    }
}

/// RMS of the difference divided by the RMS of the reference; NaN if a number is NaN.
fn distance(got: &[f32], want: impl Iterator<Item = f64> + Clone) -> f64 {
    let size: f64 = want.clone().map(|value| value * value).sum();
    let off: f64 = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - want).powi(2)).sum();
    (off / size).sqrt()
}

fn compare<D: Dimension>(got: &Tensor, want: &ndarray::Array<f64, D>) -> anyhow::Result<f64> {
    let got = tensor_io::to_vec(got)?;
    anyhow::ensure!(got.len() == want.len(), "{} numbers, expected {}", got.len(), want.len());
    Ok(distance(&got, want.iter().copied()))
}

/// Seeded normal numbers as an f64 array and, exactly equal, as an f32 tensor.
fn draw<D: Dimension>(
    index: u64,
    shape: D,
    device: Device,
) -> anyhow::Result<(ndarray::Array<f64, D>, Tensor)> {
    let numbers = Stream::new(0, Purpose::Figure, index, 0).normals(shape.size());
    let array = ndarray::Array::from_shape_vec(shape, numbers)?;
    let tensor = tensor_io::from_array(&array.view().into_dyn())?.f_to_device(device)?;
    Ok((array.mapv(f64::from), tensor))
}

fn convolution(device: Device) -> anyhow::Result<Check> {
    let (x, x_t): (Array4<f64>, _) = draw(0, ndarray::Dim([2, 8, 9, 7]), device)?;
    let (weight, weight_t): (Array4<f64>, _) = draw(1, ndarray::Dim([16, 8, 3, 3]), device)?;
    let (bias, bias_t): (Array1<f64>, _) = draw(2, ndarray::Dim([16]), device)?;
    let got = x_t.f_conv2d(&weight_t, Some(&bias_t), 1, 1, 1, 1)?;
    let off = compare(&got, &reference::conv3x3(&x, &weight, &bias))?;
    Ok(judge("convolution", "f32 against its definition", off, F32))
}

fn normalisation(device: Device) -> anyhow::Result<Check> {
    let (x, x_t): (Array4<f64>, _) = draw(3, ndarray::Dim([2, 8, 5, 6]), device)?;
    let (weight, weight_t): (Array1<f64>, _) = draw(4, ndarray::Dim([8]), device)?;
    let (bias, bias_t): (Array1<f64>, _) = draw(5, ndarray::Dim([8]), device)?;
    let got = x_t.f_group_norm(4, Some(&weight_t), Some(&bias_t), 1e-6, true)?;
    let off = compare(&got, &reference::group_norm(&x, 4, &weight, &bias, 1e-6))?;
    Ok(judge("normalisation", "f32 against its definition", off, F32))
}

fn attention(device: Device) -> anyhow::Result<Check> {
    let shape = ndarray::Dim([2, 49, 32]);
    let (q, q_t): (Array3<f64>, _) = draw(6, shape, device)?;
    let (k, k_t): (Array3<f64>, _) = draw(7, shape, device)?;
    let (v, v_t): (Array3<f64>, _) = draw(8, shape, device)?;
    let head = |x: Tensor| x.f_unsqueeze(1); // [b, 1, n, d]
    let (q_t, k_t, v_t) = (head(q_t)?, head(k_t)?, head(v_t)?);
    let got = Tensor::f_scaled_dot_product_attention(
        &q_t,
        &k_t,
        &v_t,
        None::<&Tensor>,
        0.0,
        false,
        None::<f64>,
        false,
    )?;
    let off = compare(&got, &reference::attention(&q, &k, &v))?;
    Ok(judge("attention", "f32 against its definition", off, F32))
}

/// A small network in which every weight matters; a fresh one outputs zeros.
struct Small {
    net: Box<dyn Backbone>,
    x: Tensor,
    t: Tensor,
}

impl Small {
    fn new(device: Device) -> anyhow::Result<Self> {
        let net = networks::build(&UNetConfig::preset("tiny-16")?, 1000, device, 0)?;
        let moved: Vec<Named> = net
            .params()
            .iter()
            .enumerate()
            .map(|(index, (name, tensor))| {
                let (_, noise) =
                    draw::<ndarray::Ix1>(100 + index as u64, ndarray::Dim(tensor.numel()), device)?;
                let moved = tensor.f_detach()?.f_add(&(noise * 0.05).f_view_as(tensor)?)?;
                Ok((name.clone(), moved))
            })
            .collect::<anyhow::Result<_>>()?;
        net.copy_weights(&moved)?;
        let (_, x) = draw::<ndarray::Ix4>(9, ndarray::Dim([4, 1, 16, 16]), device)?;
        let t = Tensor::f_from_slice(&[0_i64, 1, 500, 999])?.f_to_device(device)?;
        Ok(Self { net, x, t })
    }

    fn forward(&self, kind: Kind) -> anyhow::Result<Tensor> {
        Ok(self.net.forward(&self.x, &self.t, None, &Pass::eval().with_kind(kind))?)
    }

    fn numbers(&self, kind: Kind) -> anyhow::Result<ArrayD<f32>> {
        let _no_grad = tch::no_grad_guard();
        Ok(tensor_io::to_array(&self.forward(kind)?)?)
    }

    /// Mean square of the output, computed in `kind`.
    fn loss(&self, kind: Kind) -> anyhow::Result<Tensor> {
        Ok(self.forward(kind)?.f_square()?.f_mean(Kind::Double)?)
    }
}

/// The network in f32 and in another precision.
fn network(kind: Kind, what: &str, limit: f64) -> anyhow::Result<Check> {
    let small = Small::new(Device::Cpu)?;
    let (f32, other) = (small.numbers(Kind::Float)?, small.numbers(kind)?);
    // The more exact of the two is the reference.
    let (got, want) = if kind == Kind::Double { (f32, other) } else { (other, f32) };
    let name = if kind == Kind::Double { "network" } else { "network bf16" };
    Ok(judge(name, what, distance(&numbers(&got), want.iter().map(|v| f64::from(*v))), limit))
}

fn numbers(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

/// Along the gradient g the loss rises by |g| per unit length. A difference quotient checks that.
fn gradient() -> anyhow::Result<Check> {
    /// Half the distance between the two points: large compared with the rounding of the weights, small compared with
    /// the curvature of the loss.
    const HALF: f64 = 1e-2;
    let small = Small::new(Device::Cpu)?;
    small.loss(Kind::Float)?.f_backward()?;
    let grads: Vec<Tensor> =
        small.net.params().iter().map(|(_, tensor)| tensor.f_grad()).collect::<Result<_, _>>()?;
    let squares = grads.iter().map(|grad| Ok(f64::try_from(grad.f_square()?.f_sum(Kind::Double)?)?));
    let norm = squares.sum::<anyhow::Result<f64>>()?.sqrt();
    let at = |length: f64| -> anyhow::Result<f64> {
        let _no_grad = tch::no_grad_guard();
        for ((_, tensor), grad) in small.net.params().iter().zip(&grads) {
            let _ = tensor.shallow_clone().f_add_(&grad.f_mul_scalar(length / norm)?)?;
        }
        Ok(f64::try_from(small.loss(Kind::Double)?)?)
    };
    let above = at(HALF)?;
    let below = at(-2.0 * HALF)?;
    let slope = (above - below) / (2.0 * HALF);
    Ok(judge("gradient", "backward pass against differences", ((norm - slope) / slope).abs(), GRADIENT))
}

/// The same network on the GPU and, in f32, on the CPU.
fn on_gpu(device: Device, kind: Kind, limit: f64) -> anyhow::Result<Check> {
    let want = Small::new(Device::Cpu)?.numbers(Kind::Float)?;
    let got = Small::new(device)?.numbers(kind)?;
    let (name, what) = match kind {
        Kind::BFloat16 => ("GPU bf16", "bf16 on the GPU against f32 on the CPU"),
        _ => ("GPU f32", "f32 on the GPU against f32 on the CPU"),
    };
    Ok(judge(name, what, distance(&numbers(&got), want.iter().map(|v| f64::from(*v))), limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_computes_right() {
        let mut report = super::super::report::Report::default();
        checks(Device::Cpu).into_iter().for_each(|check| report.push(check));
        assert!(report.failed().is_empty(), "{}", report.text());
    }

    #[test]
    fn differences_are_relative_and_nan_fails() {
        let off = distance(&[1.1, 2.2], [1.0, 2.0].into_iter());
        assert!((off - 0.1).abs() < 1e-6);
        let verdict = |off: f64| {
            let mut report = super::super::report::Report::default();
            report.push(judge("x", "a against b", off, 1e-3));
            report.failed().len()
        };
        assert_eq!([verdict(1e-4), verdict(2e-3), verdict(f64::NAN)], [0, 1, 1]);
    }
}
