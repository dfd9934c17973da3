//! Gradients of weight and bias are as exact as f32 sums; everything else is bitwise libtorch's.

use tch::{Kind, Tensor};
use torch_ext::{WeightGradient, channels_last, conv2d, conv2d_is_fast};

use crate::case::{BEST, Case, Sizes, Way, distance, run, run_with};

/// The network's own sizes, one pixel, one channel, channels that fill no tile, more than one range of channels, more
/// rows than a group has, rows longer than a group, more images than a group has, and a number that does not divide.
const SIZES: [Sizes; 19] = [
    Sizes::new(1, (1, 1), (1, 1), 1),
    Sizes::new(1, (1, 1), (1, 1), 3),
    Sizes::new(3, (3, 32), (7, 5), 3),
    Sizes::new(3, (1, 16), (28, 28), 3),
    Sizes::new(1, (32, 3), (28, 28), 3),
    Sizes::new(3, (16, 24), (14, 14), 3),
    Sizes::new(1, (24, 16), (14, 14), 1),
    Sizes::new(3, (48, 64), (7, 5), 3),
    Sizes::new(2, (96, 160), (8, 8), 3),
    Sizes::new(1, (160, 96), (4, 4), 3),
    Sizes::new(3, (24, 48), (7, 5), 1),
    Sizes::new(2, (192, 64), (14, 14), 1),
    Sizes::new(1, (33, 17), (9, 9), 3),
    Sizes::new(1, (130, 260), (5, 5), 3),
    Sizes::new(1, (32, 32), (90, 48), 3),
    Sizes::new(1, (16, 16), (3, 2500), 3),
    Sizes::new(47, (32, 32), (8, 8), 3),
    Sizes::new(37, (64, 96), (3, 2), 3),
    Sizes::new(20, (64, 64), (16, 16), 3),
];

#[test]
fn gradients_match_f64_up_to_f32_sums() {
    if !conv2d_is_fast() {
        return libtorchs_come_through(WeightGradient::Best);
    }
    for sizes in SIZES {
        let case = Case::new(sizes);
        let (exact, theirs, ours) = (run(&case, Way::Exact), run(&case, Way::Libtorch), run(&case, BEST));
        assert_eq!((&ours.y, &ours.dx), (&theirs.y, &theirs.dx), "{sizes:?}");
        for (name, ours, theirs, exact) in [
            ("dweight", &ours.dweight, &theirs.dweight, &exact.dweight),
            ("dbias", &ours.dbias, &theirs.dbias, &exact.dbias),
        ] {
            let (ours, theirs) = (distance(ours, exact), distance(theirs, exact));
            assert!(ours <= 3e-6, "{name} of {sizes:?}: {ours:e}");
            assert!(ours <= theirs, "{name} of {sizes:?}: {ours:e}, libtorch {theirs:e}");
        }
    }
}

#[test]
fn without_our_kernels_the_gradients_are_libtorchs() {
    libtorchs_come_through(WeightGradient::Libtorch);
}

fn libtorchs_come_through(gradient: WeightGradient) {
    for sizes in SIZES {
        let case = Case::new(sizes);
        assert_eq!(run(&case, Way::Own(gradient)), run(&case, Way::Libtorch), "{sizes:?}");
    }
}

/// Gradients from a concatenation, a sum and a transposition: slices of channels, an expanded number, other strides.
#[test]
fn gradients_in_any_layout_are_read_correctly() {
    let case = Case::new(Sizes::new(2, (24, 40), (6, 5), 3));
    let ones = Case { dy: case.dy.ones_like(), ..Case::new(Sizes::new(2, (24, 40), (6, 5), 3)) };
    let expected = run(&case, BEST);
    let sliced = run_with(&case, BEST, |y, dy| {
        let other = y.detach().zeros_like().set_requires_grad(true);
        let both = |a: &Tensor, b: &Tensor| channels_last(&Tensor::cat(&[a, b], 1), Kind::BFloat16).unwrap();
        (both(&other, y) * both(&dy.zeros_like(), dy)).sum(Kind::BFloat16)
    });
    assert_eq!(sliced, expected);
    let plain = run_with(&case, BEST, |y, dy| (y.contiguous() * dy.contiguous()).sum(Kind::BFloat16));
    assert_eq!(plain, expected);
    let transposed = run_with(&case, BEST, |y, dy| {
        (y.transpose(2, 3).contiguous() * dy.transpose(2, 3).contiguous()).sum(Kind::BFloat16)
    });
    assert_eq!(transposed, expected);
    let expanded = run_with(&case, BEST, |y, _| y.sum(Kind::BFloat16));
    assert_eq!(expanded, run(&ones, BEST));
}

/// An input in another layout is converted.
#[test]
fn any_layout_of_the_input_gives_the_same() {
    let case = Case::new(Sizes::new(2, (24, 40), (6, 5), 3));
    let f32 = |t: &Tensor| t.to_kind(Kind::Float).set_requires_grad(true);
    let gradient = |x: Tensor| {
        let (weight, bias) = (f32(&case.weight), f32(&case.bias));
        conv2d(&x, &weight, &bias).unwrap().square().sum(Kind::Float).backward();
        (weight.grad(), bias.grad())
    };
    let x = case.x.to_kind(Kind::BFloat16).contiguous();
    assert_eq!(gradient(x.shallow_clone()), gradient(channels_last(&x, Kind::BFloat16).unwrap()));
    let wide = Tensor::cat(&[&x, &x], 1).narrow(1, 0, 24);
    assert_eq!(gradient(x), gradient(wide));
}

/// Frozen tensors get no gradient, and the others still get theirs.
#[test]
fn only_what_requires_a_gradient_gets_one() {
    let case = Case::new(Sizes::new(2, (8, 8), (4, 4), 3));
    let expected = run(&case, BEST);
    for wanted in 0..8 {
        let leaf =
            |t: &Tensor, kind, bit: i32| t.to_kind(kind).copy().set_requires_grad(wanted >> bit & 1 == 1);
        let x = leaf(&case.x, Kind::BFloat16, 0);
        let weight = leaf(&case.weight, Kind::Float, 1);
        let bias = leaf(&case.bias, Kind::Float, 2);
        let y = conv2d(&x, &weight, &bias).unwrap();
        assert_eq!(y.requires_grad(), wanted > 0);
        if wanted > 0 {
            (&y * case.dy.to_kind(Kind::BFloat16)).sum(Kind::BFloat16).backward();
        }
        let gradients = [(&x, &expected.dx), (&weight, &expected.dweight), (&bias, &expected.dbias)];
        for (bit, (leaf, expected)) in gradients.into_iter().enumerate() {
            let gradient = leaf.grad();
            assert_eq!(gradient.defined(), wanted >> bit & 1 == 1, "{wanted} {bit}");
            if gradient.defined() {
                assert_eq!(&gradient.to_kind(Kind::Double), expected, "{wanted} {bit}");
            }
        }
    }
}
