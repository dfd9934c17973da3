//! Unsupported calls give an error, not a wrong number.

use tch::{Device, Kind, Tensor};
use torch_ext::{TorchExtError, conv2d};

use crate::case::normals;

const BF16: Kind = Kind::BFloat16;

fn zeros(size: &[i64], kind: Kind) -> Tensor {
    Tensor::zeros(size, (kind, Device::Cpu))
}

#[test]
fn unsuitable_tensors_are_refused_by_name() {
    let f32 = Kind::Float;
    let call = |x: &[i64], weight: &[i64], bias: &[i64], kinds: [Kind; 3]| {
        let [x, weight, bias] =
            [(x, kinds[0]), (weight, kinds[1]), (bias, kinds[2])].map(|(s, k)| zeros(s, k));
        conv2d(&x, &weight, &bias).unwrap_err().to_string()
    };
    let kinds = [BF16, f32, f32];
    let cases = [
        (call(&[2, 4, 3], &[8, 4, 3, 3], &[8], kinds), "x has shape [2, 4, 3], expected [b, c, h, w]"),
        (call(&[0, 4, 3, 3], &[8, 4, 3, 3], &[8], kinds), "none of them 0"),
        (
            call(&[2, 4, 3, 3], &[8, 4, 3], &[8], kinds),
            "weight has shape [8, 4, 3], expected [c_out, c_in, k, k]",
        ),
        (call(&[2, 4, 3, 3], &[8, 5, 3, 3], &[8], kinds), "expected [c_out, 4, k, k] with k 1 or 3"),
        (call(&[2, 4, 3, 3], &[8, 4, 5, 5], &[8], kinds), "with k 1 or 3"),
        (call(&[2, 4, 3, 3], &[8, 4, 3, 1], &[8], kinds), "with k 1 or 3"),
        (call(&[2, 4, 3, 3], &[0, 4, 3, 3], &[0], kinds), "weight has shape [0, 4, 3, 3]"),
        (call(&[2, 4, 3, 3], &[8, 4, 3, 3], &[4], kinds), "bias has shape [4], expected [8]"),
        (call(&[2, 4, 3, 3], &[8, 4, 3, 3], &[8], [f32, f32, f32]), "x is Float, expected BFloat16"),
        (call(&[2, 4, 3, 3], &[8, 4, 3, 3], &[8], [BF16, BF16, f32]), "weight is BFloat16, expected Float"),
        (call(&[2, 4, 3, 3], &[8, 4, 3, 3], &[8], [BF16, f32, BF16]), "bias is BFloat16, expected Float"),
    ];
    for (got, expected) in cases {
        assert!(got.contains(expected), "{got}, expected {expected}");
    }
}

#[test]
fn the_gradient_of_the_gradient_is_refused() {
    let x = normals(&[1, 4, 3, 3], 0).to_kind(BF16).set_requires_grad(true);
    let (weight, bias) =
        (normals(&[4, 4, 3, 3], 1).to_kind(Kind::Float), normals(&[4], 2).to_kind(Kind::Float));
    let y = conv2d(&x, &weight, &bias).unwrap();
    let error = Tensor::f_run_backward(&[y.sum(Kind::Float)], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("gradient of its gradient is not implemented"), "{error}");
    // Errors found by this crate itself are typed.
    assert!(matches!(conv2d(&x.get(0), &weight, &bias), Err(TorchExtError::Shape { what: "x", .. })));
}
