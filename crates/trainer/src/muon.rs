//! Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal, so that a step changes all directions of the
//! matrix alike. Adam's steps follow the few directions with the largest gradients.

use config::is_adapter;
use tch::Tensor;
use tensor_io::Named;

use crate::error::TrainerError;

/// Decay of the momentum.
const MOMENTUM: f64 = 0.95;
/// Root mean square of an update at a rate of 1. Adam's is about the same, so both take the same rate (Liu et al. 2025,
/// Sec. 2.2).
const RMS: f64 = 0.2;
/// Coefficients and number of the Newton-Schulz steps, which bring the singular values between 0.7 and 1.2.
const A: f64 = 3.4445;
const B: f64 = -4.7750;
const C: f64 = 2.0315;
const ITERATIONS: usize = 5;
/// Avoids a division by 0.
const LEAST_NORM: f64 = 1e-7;
/// Inputs and outputs that a matrix has at least. The layers from and to the image have fewer.
const LEAST_SIDE: i64 = 8;
/// A table of vectors is no matrix: each is looked up alone. Those of the classes and of t.
const TABLES: [&str; 2] = ["class_embedding.weight", "time_proj.weight"];

/// Whether Muon updates a parameter: matrices `[out, in]` and convolutions `[out, in, h, w]` inside the network. Adam updates
/// the others, and the two factors of an adapter, whose product is what should be nearly orthogonal.
pub(crate) fn takes((name, param): &Named) -> bool {
    let size = param.size();
    size.len() >= 2
        && size[..2].iter().all(|side| *side >= LEAST_SIDE)
        && !TABLES.contains(&name.as_str())
        && !is_adapter(name)
}

/// One update of a parameter at a rate, after it is multiplied by `keep` for weight decay.
pub(crate) fn step(
    param: &Tensor,
    gradient: &Tensor,
    momentum: &mut Tensor,
    (lr, keep): (f64, f64),
) -> Result<(), TrainerError> {
    let _ = momentum.f_lerp_(gradient, 1.0 - MOMENTUM)?;
    let update = update(gradient, momentum)?.f_mul_scalar_(lr)?;
    let mut param = param.shallow_clone();
    if keep != 1.0 {
        let _ = param.f_mul_scalar_(keep)?;
    }
    let _ = param.f_sub_(&update)?;
    Ok(())
}

/// [`step`] with the numbers of [`crate::Adam::step_ahead`], which are tensors on the parameters' device.
pub(crate) fn step_ahead(
    param: &Tensor,
    gradient: &Tensor,
    momentum: &Tensor,
    (lr, divisor, kept): (&Tensor, &Tensor, &Tensor),
    weight_decay: f64,
) -> Result<(), TrainerError> {
    // Of a step that is not kept, the gradient may be NaN.
    let gradient = gradient.f_div(divisor)?.f_where_self(&kept.f_gt(0.0)?, &gradient.f_zeros_like()?)?;
    let _ = momentum.shallow_clone().f_lerp_tensor_(&gradient, &kept.f_mul_scalar(1.0 - MOMENTUM)?)?;
    let mut rate = kept.f_mul(lr)?;
    let update = update(&gradient, momentum)?.f_mul_(&rate)?;
    let keep = rate.f_mul_scalar_(-weight_decay)?.f_add_scalar_(1.0)?;
    let _ = param.shallow_clone().f_mul_(&keep)?.f_sub_(&update)?;
    Ok(())
}

/// The update at a rate of 1, to be subtracted, in the shape of the parameter. `momentum` already has the gradient in it.
fn update(gradient: &Tensor, momentum: &Tensor) -> Result<Tensor, TrainerError> {
    let size = momentum.size();
    // Nesterov's form: as if the gradient had entered the momentum once more.
    let matrix = gradient.f_lerp(momentum, MOMENTUM)?.f_reshape([size[0], -1])?;
    let longer = matrix.size().into_iter().max().unwrap_or(1);
    let matrix = orthogonal(&matrix)?.f_mul_scalar(RMS * (longer as f64).sqrt())?;
    Ok(matrix.f_reshape(size)?)
}

/// A matrix with the singular vectors of `matrix`, and singular values near 1. Those that are nearly 0 stay small.
///
/// A Newton-Schulz step multiplies x by a polynomial p of x x^T. The polynomials of all steps commute, so they are collected in
/// a square matrix with the shorter side, and only the first product and the last have the longer side.
fn orthogonal(matrix: &Tensor) -> Result<Tensor, TrainerError> {
    let is_tall = matrix.size()[0] > matrix.size()[1];
    // The shorter side first makes the products small.
    let x = if is_tall { matrix.f_tr()? } else { matrix.shallow_clone() };
    let x = x.f_div(&x.f_norm()?.f_add_scalar_(LEAST_NORM)?)?;
    // x x^T of the current step.
    let mut square = x.f_matmul(&x.f_tr()?)?;
    let mut all: Option<Tensor> = None;
    for step in 0..ITERATIONS {
        let mut p = square.f_matmul(&square)?.f_mul_scalar_(C)?;
        let _ = p.f_add_(&square.f_mul_scalar(B)?)?;
        // A times the identity, which is never made.
        let _ = p.f_diagonal(0, 0, 1)?.f_add_scalar_(A)?;
        if step + 1 < ITERATIONS {
            square = p.f_matmul(&p)?.f_matmul(&square)?;
        }
        all = Some(match all {
            Some(all) => p.f_matmul(&all)?,
            None => p,
        });
    }
    let x = match all {
        Some(all) => all.f_matmul(&x)?,
        None => x,
    };
    Ok(if is_tall { x.f_tr()? } else { x })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn normal(size: &[i64]) -> Tensor {
        tch::manual_seed(1);
        Tensor::randn(size, (Kind::Double, Device::Cpu))
    }

    fn values(matrix: &Tensor) -> Vec<f64> {
        let (_, s, _) = matrix.svd(true, true);
        Vec::<f64>::try_from(s).unwrap()
    }

    /// Also of a matrix whose singular values are far apart.
    #[test]
    fn singular_values_come_near_one_and_the_vectors_stay() {
        for size in [[12, 40], [40, 12], [24, 24]] {
            let x = normal(&size);
            let (u, s, v) = x.svd(true, true);
            let spread = Tensor::linspace(1.0, 0.05, s.size()[0], (Kind::Double, Device::Cpu));
            let x = u.matmul(&spread.diag(0)).matmul(&v.tr());
            let y = orthogonal(&x).unwrap();
            assert!(values(&y).iter().all(|s| (0.6..1.3).contains(s)), "{:?}", values(&y));
            // U^T Y V is diagonal.
            let middle = u.tr().matmul(&y).matmul(&v);
            let off = &middle - middle.diag(0).diag(0);
            assert!(f64::try_from(off.abs().max()).unwrap() < 1e-12);
        }
    }

    #[test]
    fn the_diagonal_stands_for_an_identity() {
        for (kind, by) in [(Kind::Float, 1e-4), (Kind::Double, 1e-12)] {
            let x = normal(&[12, 40]).to_kind(kind);
            let x = &x / (x.norm() + LEAST_NORM);
            let mut square = x.matmul(&x.tr());
            let one = Tensor::eye(12, (kind, Device::Cpu));
            let mut all = one.copy();
            for step in 0..ITERATIONS {
                let p = square.matmul(&square) * C + &square * B + &one * A;
                square = p.matmul(&p).matmul(&square);
                all = if step == 0 { p } else { p.matmul(&all) };
            }
            let got = orthogonal(&normal(&[12, 40]).to_kind(kind)).unwrap();
            assert!(f64::try_from((got - all.matmul(&x)).abs().max()).unwrap() < by, "{kind:?}");
        }
    }

    /// Of any gradient, large or small, wide or tall, as for Adam.
    #[test]
    fn an_update_has_the_size_of_adams() {
        for (size, scale) in [(vec![16, 16], 1.0), (vec![32, 16, 3, 3], 1e-6), (vec![96, 24, 1, 1], 1e3)] {
            let gradient = normal(&size) * scale;
            let momentum = &gradient * (1.0 - MOMENTUM);
            let update = update(&gradient, &momentum).unwrap();
            assert_eq!(update.size(), size);
            let rms = f64::try_from(update.square().mean(Kind::Double).sqrt()).unwrap();
            assert!((0.14..0.24).contains(&rms), "{size:?}: {rms}");
            // Downhill.
            assert!(f64::try_from((&update * &gradient).sum(Kind::Double)).unwrap() > 0.0);
        }
    }

    /// Two steps with two gradients, and between them one ahead that is not kept.
    #[test]
    fn a_step_ahead_is_the_same_and_one_that_is_not_kept_changes_nothing() {
        let number = |value: f64| Tensor::from_slice(&[value]);
        let gradients = [normal(&[16, 12]), normal(&[12, 16]).tr()];
        let [mut waits, ahead] = [0, 1].map(|_| normal(&[16, 12]) * 0.1);
        let [mut a, b] = [0, 1].map(|_| Tensor::zeros([16, 12], (Kind::Double, Device::Cpu)));
        for gradient in &gradients {
            step(&waits, &(gradient / 4.0), &mut a, (0.01, 1.0 - 0.01 * 0.3)).unwrap();
            let numbers = (&number(0.01).squeeze(), &number(4.0), &number(1.0));
            step_ahead(&ahead, gradient, &b, numbers, 0.3).unwrap();
            let before = (ahead.copy(), b.copy());
            let numbers = (&number(0.01).squeeze(), &number(4.0), &number(0.0));
            step_ahead(&ahead, &(gradient * f64::NAN), &b, numbers, 0.3).unwrap();
            assert_eq!((&ahead, &b), (&before.0, &before.1));
        }
        for (got, expected) in [(&mut waits, &ahead), (&mut a, &b)] {
            assert!(f64::try_from((&*got - expected).abs().max()).unwrap() < 1e-14);
        }
    }

    #[test]
    fn no_gradient_is_no_update() {
        let zero = Tensor::zeros([8, 8], (Kind::Float, Device::Cpu));
        assert_eq!(f64::try_from(update(&zero, &zero).unwrap().abs().max()).unwrap(), 0.0);
    }

    #[test]
    fn matrices_inside_the_network_are_taken() {
        let named = |name: &str, size: &[i64]| (name.to_owned(), normal(size));
        for (name, size) in [("to_q.weight", &[32, 32][..]), ("conv1.weight", &[64, 32, 3, 3])] {
            assert!(takes(&named(name, size)), "{name}");
        }
        let others = [
            ("conv_in.weight", &[32, 3, 3, 3][..]),
            ("conv_out.weight", &[1, 32, 3, 3]),
            ("norm1.weight", &[32]),
            ("class_embedding.weight", &[10, 128]),
            ("time_proj.weight", &[1000, 32]),
            ("conv1.weight.adapter_down", &[8, 64]),
        ];
        for (name, size) in others {
            assert!(!takes(&named(name, size)), "{name}");
        }
    }
}
