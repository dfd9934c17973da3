//! Special numbers, and gradients that are not requested.

use tch::{Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, group_norm};

use crate::case::normals;

fn apply(x: &Tensor) -> Tensor {
    let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let c = x.size()[1];
    let (weight, bias) = (Tensor::ones([c], (kind, x.device())), Tensor::zeros([c], (kind, x.device())));
    group_norm(x, &GroupNorm { weight: &weight, bias: &bias, groups: 2, eps: 1e-5 }, Modulation::None, true)
        .unwrap()
}

/// One NaN affects its image's group and nothing else, in every type.
#[test]
fn nan_stays_nan_and_does_not_spread() {
    for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
        for bad in [f64::NAN, f64::INFINITY] {
            let x = normals(&[2, 40, 5, 5], 0);
            let _ = x.get(1).get(39).get(4).get(3).fill_(bad);
            let nan = apply(&x.to_kind(kind)).isnan();
            let count = |t: &Tensor| t.sum(Kind::Int64).int64_value(&[]);
            assert_eq!(count(&nan), 20 * 25, "{kind:?} {bad}");
            assert_eq!(count(&nan.get(1).narrow(0, 20, 20)), 20 * 25, "{kind:?} {bad}");
        }
    }
}

/// Far from zero SiLU is the number itself or zero: the exponential must not overflow.
#[test]
fn silu_of_large_numbers_is_the_number_or_zero() {
    let weight = Tensor::from_slice(&[500_f32; 4]);
    let bias = Tensor::from_slice(&[0_f32; 4]);
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 4, eps: 0.0 };
    let x = Tensor::from_slice(&[-1_f32, 1.0].repeat(4)).view([1, 4, 1, 2]);
    let z = group_norm(&x, &norm, Modulation::None, true).unwrap();
    let expected = Tensor::from_slice(&[0_f32, 500.0].repeat(4)).view([1, 4, 1, 2]);
    assert!(f64::try_from((z - expected).abs().max()).unwrap() < 1e-30 + 500.0 * 1e-6);
}

#[test]
fn constant_images_are_zero_and_not_nan() {
    let z = apply(&Tensor::full([1, 4, 3, 3], 7.25, (Kind::Float, tch::Device::Cpu)));
    assert_eq!(f64::try_from(z.abs().max()).unwrap(), 0.0);
}

/// Frozen parameters get no gradient, and x still gets its own.
#[test]
fn only_what_requires_a_gradient_gets_one() {
    let x = normals(&[2, 4, 3, 3], 0).set_requires_grad(true);
    apply(&x).square().sum(Kind::Double).backward();
    assert!(f64::try_from(x.grad().norm()).unwrap() > 0.0);
    let frozen = normals(&[2, 4, 3, 3], 0);
    let z = apply(&frozen);
    assert!(!z.requires_grad() && !frozen.grad().defined());
}
