//! Inputs, a reference built from plain operations, and distances.

use tch::{Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, Vectors, group_norm_with};

/// How the time is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    None,
    Shift,
    ScaleShift,
}

pub(crate) const EPS: f64 = 1e-5;

/// Inputs in f64; other types are converted from them.
pub(crate) struct Case {
    pub(crate) x: Tensor,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    /// `[b, c]` or `[b, 2 c]`.
    pub(crate) time: Tensor,
    /// The gradient of the result.
    pub(crate) dz: Tensor,
    pub(crate) groups: i64,
    pub(crate) form: Time,
    pub(crate) silu: bool,
}

pub(crate) fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(11, random::Purpose::Figure, stream, 0).normals(count);
    Tensor::from_slice(&numbers).view(size).to_kind(Kind::Double)
}

impl Case {
    pub(crate) fn new(size: [i64; 4], groups: i64, form: Time, silu: bool) -> Self {
        let (b, c) = (size[0], size[1]);
        let width = if form == Time::ScaleShift { 2 * c } else { c };
        Self {
            x: normals(&size, 0) * 1.7 + 0.4,
            weight: normals(&[c], 1) * 0.3 + 1.0,
            bias: normals(&[c], 2) * 0.5,
            time: normals(&[b, width], 3) * 0.6,
            dz: normals(&size, 4),
            groups,
            form,
            silu,
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!("{:?} in {} groups, {:?}, silu {}", self.x.size(), self.groups, self.form, self.silu)
    }
}

/// The result and the gradients of x, weight, bias and, if there is one, the time, in f64.
pub(crate) struct Results(pub(crate) Vec<(&'static str, Tensor)>);

/// The reference operations, or the fused one.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    Plain,
    Fused(Vectors),
}

/// Runs a case with `x` of one type, and parameters f32 or f64 as required.
pub(crate) fn run(case: &Case, kind: Kind, path: Path) -> Results {
    run_with(case, kind, path, |x| x)
}

/// The same, with `arrange` between the leaf and the operation: a layout, for example.
pub(crate) fn run_with(case: &Case, kind: Kind, path: Path, arrange: impl Fn(Tensor) -> Tensor) -> Results {
    let parameters = if kind == Kind::Double { Kind::Double } else { Kind::Float };
    let leaf = |value: &Tensor, kind| value.to_kind(kind).copy().set_requires_grad(true);
    let x = leaf(&case.x, kind);
    let (weight, bias) = (leaf(&case.weight, parameters), leaf(&case.bias, parameters));
    let time = leaf(&case.time, parameters);
    let inner = arrange(x.shallow_clone());
    let z = match path {
        Path::Plain => plain(case, &inner, &weight, &bias, &time),
        Path::Fused(vectors) => {
            let norm = GroupNorm { weight: &weight, bias: &bias, groups: case.groups, eps: EPS };
            let modulation = match case.form {
                Time::None => Modulation::None,
                Time::Shift => Modulation::Shift(&time),
                Time::ScaleShift => Modulation::ScaleShift(&time),
            };
            group_norm_with(&inner, &norm, modulation, case.silu, vectors).unwrap()
        }
    };
    assert_eq!((z.kind(), z.size()), (kind, case.x.size()));
    (&z * case.dz.to_kind(kind)).sum(parameters).backward();
    let mut results =
        vec![("z", z.detach()), ("dx", x.grad()), ("dweight", weight.grad()), ("dbias", bias.grad())];
    if case.form != Time::None {
        results.push(("dtime", time.grad()));
    }
    Results(results.into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Double))).collect())
}

/// What the network used to do: each step rounds to the type of `x`.
fn plain(case: &Case, x: &Tensor, weight: &Tensor, bias: &Tensor, time: &Tensor) -> Tensor {
    let kind = x.kind();
    let time = time.to_kind(kind).unsqueeze(-1).unsqueeze(-1);
    let (weight, bias) = (weight.to_kind(kind), bias.to_kind(kind));
    let norm = |x: &Tensor| x.group_norm(case.groups, Some(&weight), Some(&bias), EPS, true);
    let y = match case.form {
        Time::None => norm(x),
        Time::Shift => norm(&(x + time)),
        Time::ScaleShift => {
            let halves = time.chunk(2, 1);
            norm(x) * (1.0 + &halves[0]) + &halves[1]
        }
    };
    if case.silu { y.silu() } else { y }
}

/// Relative L2.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let norm = f64::try_from(b.norm()).unwrap();
    let difference = f64::try_from((a - b).norm()).unwrap();
    if difference == 0.0 { 0.0 } else { difference / norm }
}
