//! Functions that write in place or read many tensors at once: they are correct, or refuse and change nothing.

use tch::{Device, Kind, Tensor};
use torch_ext::{
    AdamStep, ListedAdam, adam_step, adam_step_takes, joint_norm, listed_adam, listed_average, listed_norm,
};

use crate::arrange::{apart, layouts, numbers};

const SIZES: [&[i64]; 9] =
    [&[3], &[1], &[0], &[4, 5], &[4, 1], &[3, 2, 2, 5], &[3, 2, 1, 1], &[1, 1, 1, 1], &[2, 0, 3, 1]];

const STEP: AdamStep = AdamStep {
    keep: 0.97,
    gradient_scale: 0.5,
    beta1: 0.9,
    beta2: 0.99,
    step_size: 0.1 / (1.0 - 0.9),
    second_scale: 10.0,
    eps: 1e-3,
};

/// Parameter, gradient and moments; the one at `index` has the given layout.
fn four(size: &[i64], index: usize, layout: &dyn Fn(&Tensor) -> Tensor) -> [Tensor; 4] {
    std::array::from_fn(|place| {
        let x = numbers(size, place as u64, Kind::Float).abs();
        if place == index { layout(&x) } else { x }
    })
}

/// The formula on whole tensors, in f64.
fn expected(four: &[Tensor; 4]) -> [Tensor; 3] {
    let [param, gradient, m, v] = four.each_ref().map(|x| x.contiguous().to_kind(Kind::Double));
    let g = gradient * STEP.gradient_scale;
    let m: Tensor = STEP.beta1 * m + (1.0 - STEP.beta1) * &g;
    let v: Tensor = STEP.beta2 * v + (1.0 - STEP.beta2) * g.square();
    let root: Tensor = v.sqrt() * STEP.second_scale + STEP.eps;
    let moved: Tensor = STEP.keep * param - STEP.step_size * (&m / root);
    [moved, m, v]
}

fn every(size: &[i64], mut check: impl FnMut(usize, &str, [Tensor; 4])) {
    for index in 0..4 {
        for layout in layouts(size) {
            check(index, &layout.name, four(size, index, layout.of.as_ref()));
        }
    }
}

fn held(got: [&Tensor; 3], want: &[Tensor; 3], what: &str) {
    for (got, want) in got.into_iter().zip(want) {
        let off = apart(&got.contiguous(), want);
        assert!(off < 1e-6, "{what}: off by {off:e}");
    }
}

#[test]
fn adam_is_right_or_refuses_and_changes_nothing() {
    for size in SIZES {
        every(size, |index, name, four| {
            let what = format!("{size:?}, tensor {index} {name}");
            let before = four.each_ref().map(|x| x.contiguous().copy());
            let want = expected(&before);
            let fits = four.iter().all(Tensor::is_contiguous) && name != "marked as negated";
            let done = adam_step(&four[0], &four[1], (&four[2], &four[3]), &STEP);
            assert_eq!((done.is_ok(), adam_step_takes(four.each_ref())), (fits, fits), "{what}");
            if fits {
                held([&four[0], &four[2], &four[3]], &want, &what);
            } else {
                assert_eq!(four.each_ref().map(Tensor::contiguous), before, "{what}");
            }
        });
    }
}

#[test]
fn listed_adam_is_right_or_refuses_and_changes_nothing() {
    let number = |value: f64| Tensor::full([1], value, (Kind::Float, Device::Cpu));
    let settings = ListedAdam { beta1: STEP.beta1, beta2: STEP.beta2, weight_decay: 0.3, eps: STEP.eps };
    for size in SIZES {
        every(size, |index, name, four| {
            let what = format!("{size:?}, tensor {index} {name}");
            let before = four.each_ref().map(|x| x.contiguous().copy());
            // The first update, at a learning rate of 0.1: it subtracts 0.1 * 0.3 from 1, and 10 is 1 / sqrt(1 - 0.99).
            let want = expected(&before);
            let scales = (&number(2.0), &number(0.0));
            let done =
                listed_adam(&[four.each_ref()], &number(1.0), &number(0.1).view(()), scales, &settings);
            let fits = four.iter().all(Tensor::is_contiguous) && name != "marked as negated";
            assert_eq!(done.is_ok(), fits, "{what}");
            if fits {
                held([&four[0], &four[2], &four[3]], &want, &what);
            } else {
                assert_eq!(four.each_ref().map(Tensor::contiguous), before, "{what}");
            }
        });
    }
}

#[test]
fn an_average_is_right_or_refused() {
    let weight = Tensor::full([1], 0.25, (Kind::Float, Device::Cpu)).view(());
    for size in SIZES {
        every(size, |index, name, [average, value, ..]| {
            let what = format!("{size:?}, tensor {index} {name}");
            let before = average.contiguous().copy();
            let want = &before * 0.75 + value.contiguous() * 0.25;
            let done = listed_average(&[[&average, &value]], &weight);
            // Refused: written where several numbers share a place, or read through a flag.
            let shared = index == 0
                && average.numel() > 0
                && (name.starts_with("expanded") || name.starts_with("one number"));
            let one_each = average.stride().iter().zip(size).all(|(&stride, &size)| stride != 0 || size == 1);
            let negated = index < 2 && name == "marked as negated";
            let fits = (!shared || one_each) && !negated;
            assert_eq!(done.is_ok(), fits, "{what}: {done:?}");
            let want = if fits { want } else { before };
            assert!(apart(&average.contiguous(), &want) < 1e-6, "{what}");
        });
    }
}

#[test]
fn norms_are_those_of_all_numbers() {
    for size in SIZES {
        for layout in layouts(size) {
            let x = (layout.of)(&numbers(size, 0, Kind::Float));
            let other = numbers(&[7], 1, Kind::Float);
            let square = |x: &Tensor| {
                let x = x.contiguous().to_kind(Kind::Double).square().sum(Kind::Double);
                f64::try_from(x).unwrap()
            };
            let want = (square(&x) + square(&other)).sqrt();
            let both = [x.shallow_clone(), other];
            let what = format!("{size:?}, {}", layout.name);
            let listed = f64::try_from(listed_norm(&both).unwrap()).unwrap();
            assert!((listed - want).abs() < 1e-6 * want, "{what}: {listed}, expected {want}");
            let joint = joint_norm(&both).unwrap();
            let plain = x.is_contiguous() && layout.name != "marked as negated";
            assert_eq!(joint.is_some(), plain, "{what}");
            assert!(joint.is_none_or(|norm| (norm - want).abs() < 1e-12 * want), "{what}: {joint:?}");
        }
    }
}
