//! The number of threads belongs to the process, so this test has its own process.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, conv2d, conv2d_is_fast, group_norm};

fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(3, random::Purpose::Figure, stream, 0).normals(count);
    Tensor::from_slice(&numbers).view(size)
}

/// The result and every gradient.
fn everything(size: [i64; 4], kind: Kind) -> Vec<Tensor> {
    let (b, c) = (size[0], size[1]);
    let x = normals(&size, 0).to_kind(kind).set_requires_grad(true);
    let parameters = [normals(&[c], 1), normals(&[c], 2), normals(&[b, c], 3)];
    let [weight, bias, shift] = parameters.map(|parameter| parameter.set_requires_grad(true));
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 4, eps: 1e-5 };
    let z = group_norm(&x, &norm, Modulation::Shift(&shift), true).unwrap();
    (&z * normals(&size, 4).to_kind(kind)).sum(Kind::Float).backward();
    vec![z.detach(), x.grad(), weight.grad(), bias.grad(), shift.grad()]
}

/// One image for many threads is split into chunks, many images are not: both give the sums of one thread.
#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for kind in [Kind::Float, Kind::BFloat16] {
        for size in [[1, 32, 64, 48], [2, 12, 50, 41], [5, 64, 16, 16], [9, 8, 3, 3]] {
            tch::set_num_threads(1);
            let expected = everything(size, kind);
            for threads in [2, 3, 8] {
                tch::set_num_threads(threads);
                assert_eq!(everything(size, kind), expected, "{size:?} {kind:?} with {threads} threads");
            }
        }
    }
}

/// An image's results do not depend on the other images of the batch.
#[test]
fn images_of_a_batch_are_independent() {
    let x = normals(&[3, 16, 20, 20], 0);
    let (weight, bias) = (normals(&[16], 1), normals(&[16], 2));
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 4, eps: 1e-5 };
    let together = group_norm(&x, &norm, Modulation::None, true).unwrap();
    for n in 0..3 {
        let alone = group_norm(&x.narrow(0, n, 1), &norm, Modulation::None, true).unwrap();
        assert_eq!(alone, together.narrow(0, n, 1));
    }
}

/// Gradients of a convolution's weight and bias, with more than one group of rows and range of channels. Those of this crate
/// are bitwise the same. libtorch's, which are used on processors without AMX, differ by their rounding to bf16.
#[test]
fn weight_gradients_do_not_depend_on_the_number_of_threads() {
    let gradients = |size: [i64; 4], c_out: i64, kernel: i64| {
        let x = normals(&size, 0).to_kind(Kind::BFloat16);
        let weight = normals(&[c_out, size[1], kernel, kernel], 1).set_requires_grad(true);
        let bias = normals(&[c_out], 2).set_requires_grad(true);
        let y = conv2d(&x, &weight, &bias).unwrap();
        (&y * normals(&y.size(), 3).to_kind(Kind::BFloat16)).sum(Kind::Float).backward();
        [weight.grad(), bias.grad()]
    };
    for (size, c_out, kernel) in [
        ([17, 32, 16, 16], 32, 3),
        ([3, 160, 9, 9], 96, 3),
        ([1, 8, 40, 50], 24, 3),
        ([9, 96, 14, 14], 32, 1),
    ] {
        tch::set_num_threads(1);
        let expected = gradients(size, c_out, kernel);
        for threads in [1, 2, 3, 8] {
            tch::set_num_threads(threads);
            let got = gradients(size, c_out, kernel);
            if conv2d_is_fast() {
                assert_eq!(got, expected, "{size:?} {c_out} with {threads} threads");
            }
            for (got, expected) in got.iter().zip(&expected) {
                let apart = f64::try_from((got - expected).norm() / expected.norm()).unwrap();
                // Half a unit in the last of bf16's 8 bits, twice.
                assert!(apart <= 1.0 / 256.0, "{size:?} {c_out} with {threads} threads: {apart:e}");
            }
        }
    }
}
