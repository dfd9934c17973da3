//! f32 is within 1e-5 of libtorch and bf16 is as good as libtorch's, for odd shapes, group counts and layouts.

use tch::{Kind, Tensor};
use torch_ext::Vectors;

use crate::case::{Case, Path, Time, distance, normals, run, run_with};

/// Sizes with their groups: the network's own, one pixel, odd numbers, as many groups as channels, one group, channels
/// that fill no vector, more than a chunk of pixels.
const SHAPES: [([i64; 4], i64); 12] = [
    ([2, 32, 8, 8], 8),
    ([3, 96, 7, 5], 32),
    ([1, 160, 4, 4], 8),
    ([2, 64, 1, 1], 8),
    ([1, 512, 2, 3], 32),
    ([2, 6, 7, 5], 6),
    ([4, 6, 5, 5], 1),
    ([1, 1, 3, 9], 1),
    ([2, 50, 6, 3], 25),
    ([2, 24, 33, 31], 4),
    ([1, 8, 64, 40], 2),
    ([5, 20, 3, 3], 5),
];

fn cases() -> impl Iterator<Item = Case> {
    SHAPES.into_iter().flat_map(|(size, groups)| {
        [Time::None, Time::Shift, Time::ScaleShift].into_iter().flat_map(move |form| {
            [false, true].into_iter().map(move |silu| Case::new(size, groups, form, silu))
        })
    })
}

#[test]
fn f32_is_libtorchs_within_1e_5() {
    for case in cases() {
        let exact = run(&case, Kind::Double, Path::Plain);
        let plain = run(&case, Kind::Float, Path::Plain);
        for vectors in [Vectors::Best, Vectors::UpTo16, Vectors::UpTo8, Vectors::UpTo4] {
            let fused = run(&case, Kind::Float, Path::Fused(vectors));
            for (((name, got), (_, exact)), (_, plain)) in fused.0.iter().zip(&exact.0).zip(&plain.0) {
                let size = f64::try_from(exact.norm()).unwrap();
                // If a gradient is zero up to rounding (one number in a group), only its size can be checked.
                if size < 1e-6 {
                    let got = f64::try_from(got.norm()).unwrap();
                    assert!(got < 1e-2, "{name} of {}: {got}, expected 0", case.describe());
                    continue;
                }
                let (to_exact, to_plain) = (distance(got, exact), distance(got, plain));
                let off = to_exact.max(to_plain);
                assert!(off <= 1e-5, "{name} of {}, {vectors:?}: off by {off:e}", case.describe());
            }
        }
    }
}

#[test]
fn bf16_is_no_worse_than_libtorchs() {
    for case in cases() {
        // The same bf16 numbers for all three.
        let round = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16).to_kind(Kind::Double);
        let case = Case { x: round(&case.x), dz: round(&case.dz), ..case };
        let exact = run(&case, Kind::Double, Path::Plain);
        let plain = run(&case, Kind::BFloat16, Path::Plain);
        for vectors in [Vectors::Best, Vectors::UpTo16, Vectors::UpTo8, Vectors::UpTo4] {
            let fused = run(&case, Kind::BFloat16, Path::Fused(vectors));
            for (((name, fused), (_, plain)), (_, exact)) in fused.0.iter().zip(&plain.0).zip(&exact.0) {
                let (ours, theirs) = (distance(fused, exact), distance(plain, exact));
                let size = f64::try_from(exact.norm()).unwrap();
                assert!(
                    size < 1e-6 || ours <= 1.1 * theirs,
                    "{name} of {}: {ours:e}, libtorch {theirs:e}",
                    case.describe()
                );
            }
        }
    }
}

/// Central differences of the whole map along random directions, in f64.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (size, groups) in [([2, 6, 3, 2], 3), ([1, 4, 5, 7], 1), ([2, 3, 2, 2], 3)] {
        for form in [Time::None, Time::Shift, Time::ScaleShift] {
            for silu in [false, true] {
                let case = Case::new(size, groups, form, silu);
                let fused = Path::Fused(Vectors::Best);
                let gradients = run(&case, Kind::Double, fused);
                let objective = |case: &Case| {
                    let z = &run(case, Kind::Double, fused).0[0].1;
                    f64::try_from((z * &case.dz).sum(Kind::Double)).unwrap()
                };
                for (name, gradient) in &gradients.0[1..] {
                    let direction = normals(&gradient.size(), 9);
                    let moved = |by: f64| {
                        let mut other = Case::new(size, groups, form, silu);
                        let tensor = match *name {
                            "dx" => &mut other.x,
                            "dweight" => &mut other.weight,
                            "dbias" => &mut other.bias,
                            _ => &mut other.time,
                        };
                        *tensor = &*tensor + by * &direction;
                        objective(&other)
                    };
                    let step = 1e-5;
                    let measured = (moved(step) - moved(-step)) / (2.0 * step);
                    let claimed = f64::try_from((gradient * &direction).sum(Kind::Double)).unwrap();
                    let off = (measured - claimed).abs();
                    assert!(
                        off < 1e-7 * (1.0 + claimed.abs()),
                        "{name} of {}: {claimed}, measured {measured}",
                        case.describe()
                    );
                }
            }
        }
    }
}

#[test]
fn any_layout_of_the_input_gives_the_same() {
    let case = Case::new([2, 12, 6, 4], 3, Time::Shift, true);
    let fused = Path::Fused(Vectors::Best);
    let expected = run(&case, Kind::Float, fused);
    let layouts: [fn(Tensor) -> Tensor; 3] = [
        |x| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        |x| x.transpose(2, 3).contiguous().transpose(2, 3),
        // A slice of the channels of a larger tensor.
        |x| Tensor::cat(&[&x, &x], 1).narrow(1, 0, 12),
    ];
    for arrange in layouts {
        let got = run_with(&case, Kind::Float, fused, arrange);
        for ((name, a), (_, b)) in got.0.iter().zip(&expected.0) {
            assert_eq!(a, b, "{name}");
        }
    }
}

/// The gradient of a concatenation along the channels comes as slices, which are read where they are.
#[test]
fn gradients_that_are_slices_of_channels_are_read_in_place() {
    let case = Case::new([2, 12, 6, 4], 3, Time::None, true);
    let last = |x: &Tensor| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let gradient = |split: bool| {
        let x = last(&case.x.to_kind(Kind::Float)).set_requires_grad(true);
        let (weight, bias) = (case.weight.to_kind(Kind::Float), case.bias.to_kind(Kind::Float));
        let norm = torch_ext::GroupNorm { weight: &weight, bias: &bias, groups: 3, eps: 1e-5 };
        let z = torch_ext::group_norm(&x, &norm, torch_ext::Modulation::None, true).unwrap();
        let other = Tensor::zeros([2, 8, 6, 4], (Kind::Float, z.device())).set_requires_grad(true);
        let dz = case.dz.to_kind(Kind::Float);
        let loss = if split {
            let dz = Tensor::cat(&[&other.detach(), &dz], 1);
            (Tensor::cat(&[&last(&other), &z], 1) * last(&dz)).sum(Kind::Float)
        } else {
            (z * dz).sum(Kind::Float)
        };
        loss.backward();
        x.grad()
    };
    assert_eq!(gradient(true), gradient(false));
}

/// Numbers whose mean is a thousand times their spread: the variance must not be lost.
#[test]
fn a_mean_far_from_zero_does_not_lose_the_variance() {
    let base = Case::new([2, 16, 9, 9], 4, Time::None, true);
    // Converted to f32 first, so that both have the same numbers.
    let x = (&base.x + 2000.0).to_kind(Kind::Float).to_kind(Kind::Double);
    let case = Case { x, ..base };
    let exact = run(&case, Kind::Double, Path::Plain);
    let fused = run(&case, Kind::Float, Path::Fused(Vectors::Best));
    for ((name, a), (_, b)) in fused.0.iter().zip(&exact.0) {
        // The mean itself is rounded to f32: 2000 * 2^-24, for a spread of 1.7.
        assert!(distance(a, b) < 2e-4, "{name}: {:e}", distance(a, b));
    }
}

/// The stride of a dimension of size 1 is arbitrary, also in gradients: maps of one column, one row, one image, one channel.
#[test]
fn gradients_with_free_strides_are_read_correctly() {
    for size in [[2, 12, 6, 1], [2, 12, 1, 5], [1, 12, 1, 1], [1, 3, 4, 1], [3, 1, 5, 1], [1, 12, 6, 4]] {
        let groups = if size[1] == 1 { 1 } else { 3 };
        let case = Case::new(size, groups, Time::Shift, true);
        let expected = run(&case, Kind::Float, Path::Plain);
        let k = |size: &[i64]| case.dz.to_kind(Kind::Float).permute([3, 0, 2, 1]).contiguous().view(size);
        let x = case.x.to_kind(Kind::Float);
        let (weight, bias) = (case.weight.to_kind(Kind::Float), case.bias.to_kind(Kind::Float));
        let time = case.time.to_kind(Kind::Float);
        let norm = torch_ext::GroupNorm { weight: &weight, bias: &bias, groups, eps: crate::case::EPS };
        let losses: [&dyn Fn(&Tensor) -> Tensor; 3] = [
            // The gradient comes back through a removed dimension.
            &|z| {
                let moved = z.permute([3, 0, 2, 1]);
                if size[3] == 1 {
                    let flat = moved.squeeze_dim(0);
                    let k = k(&flat.size());
                    (flat * k).sum(Kind::Float)
                } else {
                    (moved * k(&[size[3], size[0], size[2], size[1]])).sum(Kind::Float)
                }
            },
            &|z| {
                let dz = case.dz.to_kind(Kind::Float);
                if size[3] == 1 {
                    (z.squeeze_dim(3) * dz.squeeze_dim(3)).sum(Kind::Float)
                } else {
                    (z * dz).sum(Kind::Float)
                }
            },
            // As a tensor that is flagged as negated.
            &|z| {
                let dz = case.dz.to_kind(Kind::Float);
                (Tensor::complex(&z.zeros_like(), z).conj().imag() * -dz).sum(Kind::Float)
            },
        ];
        for loss in losses {
            let leaf = x.copy().set_requires_grad(true);
            let z = torch_ext::group_norm(&leaf, &norm, torch_ext::Modulation::Shift(&time), true).unwrap();
            loss(&z).backward();
            let expected = &expected.0.iter().find(|(name, _)| *name == "dx").unwrap().1;
            let got = leaf.grad().to_kind(Kind::Double);
            let off = f64::try_from((got - expected).abs().max()).unwrap();
            assert!(off < 1e-4, "{}: off by {off:e}", case.describe());
        }
    }
}
