//! `x` beside its norm: the gradients of both branches, or of only one.

use tch::{Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, group_norm, group_norm_branch};

use crate::case::{Case, EPS, Time, distance, normals};

/// How the branch is combined with the normalisation.
#[derive(Clone, Copy)]
enum Around {
    Nothing,
    Product,
    /// The product again, as the second half of the channels of a larger tensor, so that its gradient is a slice.
    InConcatenation,
}

/// z and the gradients of x and weight; `fused` with `group_norm_branch`, else with `group_norm` and x itself.
fn run(case: &Case, kind: Kind, fused: bool, around: Around) -> [Tensor; 3] {
    let leaf = |value: &Tensor, kind| value.to_kind(kind).copy().set_requires_grad(true);
    let parameters = if kind == Kind::Double { Kind::Double } else { Kind::Float };
    let (x, weight, bias) =
        (leaf(&case.x, kind), leaf(&case.weight, parameters), case.bias.to_kind(parameters));
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: case.groups, eps: EPS };
    let (z, beside) = if fused {
        group_norm_branch(&x, &norm, Modulation::None, case.silu).unwrap()
    } else {
        (group_norm(&x, &norm, Modulation::None, case.silu).unwrap(), x.shallow_clone())
    };
    let factor = normals(&case.x.size(), 5).to_kind(kind);
    let mut loss = (&z * case.dz.to_kind(kind)).sum(parameters);
    match around {
        Around::Nothing => {}
        Around::Product => loss += (&beside * factor).sum(parameters),
        Around::InConcatenation => {
            let both = Tensor::cat(&[&z.zeros_like(), &beside], 1);
            loss += (both * Tensor::cat(&[&factor, &factor], 1)).sum(parameters);
        }
    }
    loss.backward();
    [z.detach(), x.grad(), weight.grad()].map(|tensor| tensor.to_kind(Kind::Double))
}

fn cases() -> [Case; 3] {
    [
        Case::new([2, 32, 8, 8], 8, Time::None, true),
        Case::new([3, 6, 7, 5], 3, Time::None, false),
        Case::new([1, 50, 21, 33], 25, Time::None, true),
    ]
}

#[test]
fn the_gradients_of_both_branches_add_up() {
    for case in cases() {
        for around in [Around::Product, Around::InConcatenation] {
            let exact = run(&case, Kind::Double, false, around);
            for (kind, limit) in [(Kind::Double, 1e-14), (Kind::Float, 1e-6)] {
                for (got, want) in run(&case, kind, true, around).iter().zip(&exact) {
                    assert!(distance(got, want) < limit, "{}, {kind:?}", case.describe());
                }
            }
        }
    }
}

#[test]
fn bf16_is_rounded_once() {
    for case in cases() {
        let round = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16).to_kind(Kind::Double);
        let case = Case { x: round(&case.x), dz: round(&case.dz), ..case };
        let exact = run(&case, Kind::Double, false, Around::Product);
        let [_, apart, _] = run(&case, Kind::BFloat16, false, Around::Product);
        let [_, together, _] = run(&case, Kind::BFloat16, true, Around::Product);
        let (ours, theirs) = (distance(&together, &exact[1]), distance(&apart, &exact[1]));
        assert!(ours <= theirs, "dx of {}: {ours:e}, in two steps {theirs:e}", case.describe());
    }
}

#[test]
fn an_unused_branch_changes_nothing() {
    for case in cases() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let alone = run(&case, kind, false, Around::Nothing);
            assert_eq!(run(&case, kind, true, Around::Nothing), alone, "{}, {kind:?}", case.describe());
        }
    }
}

#[test]
fn the_branch_alone_has_its_gradient_and_the_norm_none() {
    let case = Case::new([2, 4, 3, 3], 2, Time::None, true);
    let x = case.x.to_kind(Kind::Float).set_requires_grad(true);
    let weight = case.weight.to_kind(Kind::Float).set_requires_grad(true);
    let bias = case.bias.to_kind(Kind::Float);
    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 2, eps: EPS };
    let (_, beside) = group_norm_branch(&x, &norm, Modulation::None, true).unwrap();
    assert_eq!(beside.data_ptr(), x.data_ptr(), "a copy");
    (&beside * 3.0).sum(Kind::Float).backward();
    assert_eq!(x.grad(), x.full_like(3.0));
    assert!(!weight.grad().defined());
}
