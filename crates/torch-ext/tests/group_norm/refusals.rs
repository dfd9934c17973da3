//! Unsupported calls give an error, not a wrong number.

use tch::{Device, Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, TorchExtError, group_norm};

use crate::case::normals;

fn zeros(size: &[i64], kind: Kind) -> Tensor {
    Tensor::zeros(size, (kind, Device::Cpu))
}

#[test]
fn unsuitable_tensors_are_refused_by_name() {
    let (f32, f64) = (Kind::Float, Kind::Double);
    let x = |size: &[i64]| zeros(size, f32);
    let call = |x: &Tensor, channels: i64, groups: i64, modulation: Modulation<'_>| {
        let (weight, bias) = (zeros(&[channels], f32), zeros(&[4], f32));
        let norm = GroupNorm { weight: &weight, bias: &bias, groups, eps: 1e-5 };
        group_norm(x, &norm, modulation, true).unwrap_err().to_string()
    };
    let none = Modulation::None;
    let cases = [
        (call(&x(&[2, 4, 3]), 4, 2, none), "x has shape [2, 4, 3], expected [b, c, h, w]"),
        (call(&x(&[0, 4, 3, 3]), 4, 2, none), "none of them 0"),
        (call(&x(&[2, 4, 3, 3]), 4, 3, none), "4 channels cannot be divided into 3 groups"),
        (call(&x(&[2, 4, 3, 3]), 4, 0, none), "4 channels cannot be divided into 0 groups"),
        (call(&x(&[2, 4, 3, 3]), 5, 2, none), "weight has shape [5], expected [4]"),
        (call(&zeros(&[2, 4, 3, 3], Kind::Half), 4, 2, none), "x is Half"),
        (call(&zeros(&[2, 4, 3, 3], f64), 4, 2, none), "weight is Float, expected Double"),
        (
            call(&x(&[2, 4, 3, 3]), 4, 2, Modulation::Shift(&zeros(&[1, 4], f32))),
            "the shift has shape [1, 4]",
        ),
        (call(&x(&[2, 4, 3, 3]), 4, 2, Modulation::ScaleShift(&zeros(&[2, 4], f32))), "expected [2, 8]"),
        (call(&x(&[2, 4, 3, 3]), 4, 2, Modulation::Shift(&zeros(&[2, 4], f64))), "the shift is Double"),
    ];
    for (got, expected) in cases {
        assert!(got.contains(expected), "{got}, expected {expected}");
    }
}

#[test]
fn the_gradient_of_the_gradient_is_refused() {
    let x = normals(&[1, 4, 3, 3], 0).set_requires_grad(true);
    let (weight, bias) = (normals(&[4], 1), normals(&[4], 2));
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 2, eps: 1e-5 };
    let z = group_norm(&x, &norm, Modulation::None, true).unwrap();
    let error = Tensor::f_run_backward(&[z.sum(Kind::Double)], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("gradient of its gradient is not implemented"), "{error}");
    // Errors found by this crate itself are typed.
    let refused = group_norm(&x.get(0), &norm, Modulation::None, true);
    assert!(matches!(refused, Err(TorchExtError::Shape { what: "x", .. })));
}
