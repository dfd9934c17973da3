//! Inputs, three ways to compute with them, and distances.

use tch::{Kind, Tensor};
use torch_ext::{WeightGradient, channels_last, conv2d_with};

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) images: i64,
    pub(crate) c_in: i64,
    pub(crate) c_out: i64,
    pub(crate) height: i64,
    pub(crate) width: i64,
    pub(crate) kernel: i64,
}

impl Sizes {
    pub(crate) const fn new(
        images: i64,
        (c_in, c_out): (i64, i64),
        (height, width): (i64, i64),
        kernel: i64,
    ) -> Self {
        Self { images, c_in, c_out, height, width, kernel }
    }
}

/// Numbers representable in bf16, in f64; also `weight` and `bias`, so that every way has the same inputs.
pub(crate) struct Case {
    pub(crate) x: Tensor,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) dy: Tensor,
    pub(crate) kernel: i64,
}

pub(crate) fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(13, random::Purpose::Figure, stream, 0).normals(count);
    Tensor::from_slice(&numbers).view(size).to_kind(Kind::BFloat16).to_kind(Kind::Double)
}

impl Case {
    pub(crate) fn new(s: Sizes) -> Self {
        Self {
            // Means that are not zero make the sums grow with the number of pixels.
            x: normals(&[s.images, s.c_in, s.height, s.width], 0) + 0.25,
            weight: normals(&[s.c_out, s.c_in, s.kernel, s.kernel], 1),
            bias: normals(&[s.c_out], 2),
            dy: normals(&[s.images, s.c_out, s.height, s.width], 3) + 0.125,
            kernel: s.kernel,
        }
        .rounded()
    }

    fn rounded(self) -> Self {
        let round = |t: &Tensor| t.to_kind(Kind::BFloat16).to_kind(Kind::Double);
        Self { x: round(&self.x), dy: round(&self.dy), ..self }
    }
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// libtorch in f64.
    Exact,
    /// libtorch in bf16, with the parameters cast by separate operations, as the network used to do.
    Libtorch,
    /// This crate.
    Own(WeightGradient),
}

pub(crate) const BEST: Way = Way::Own(WeightGradient::Best);

/// The result and the gradients, in f64.
#[derive(Debug, PartialEq)]
pub(crate) struct Results {
    pub(crate) y: Tensor,
    pub(crate) dx: Tensor,
    pub(crate) dweight: Tensor,
    pub(crate) dbias: Tensor,
}

pub(crate) fn run(case: &Case, way: Way) -> Results {
    run_with(case, way, |y, dy| (y * dy).sum(y.kind()))
}

/// The same, with a loss computed from the result and `case.dy`.
pub(crate) fn run_with(case: &Case, way: Way, loss: impl Fn(&Tensor, &Tensor) -> Tensor) -> Results {
    let (kind, parameters) =
        if way == Way::Exact { (Kind::Double, Kind::Double) } else { (Kind::BFloat16, Kind::Float) };
    let leaf = |value: &Tensor, kind| innermost(value, kind).set_requires_grad(true);
    let x = leaf(&case.x, kind);
    let (weight, bias) = (
        case.weight.to_kind(parameters).copy().set_requires_grad(true),
        case.bias.to_kind(parameters).copy().set_requires_grad(true),
    );
    let padding = case.kernel / 2;
    let y = match way {
        Way::Exact => x.conv2d(&weight, Some(&bias), 1, padding, 1, 1),
        Way::Libtorch => {
            let cast = channels_last(&weight, kind).unwrap();
            x.conv2d(&cast, Some(&bias.to_kind(kind)), 1, padding, 1, 1)
        }
        Way::Own(gradient) => conv2d_with(&x, &weight, &bias, gradient).unwrap(),
    };
    assert_eq!(y.kind(), kind);
    loss(&y, &innermost(&case.dy, kind)).backward();
    let f64 = |t: Tensor| t.to_kind(Kind::Double).contiguous();
    if matches!(way, Way::Own(_)) {
        assert_eq!((weight.grad().kind(), bias.grad().kind()), (Kind::Float, Kind::Float));
        assert!(weight.grad().is_contiguous());
    }
    Results { y: f64(y.detach()), dx: f64(x.grad()), dweight: f64(weight.grad()), dbias: f64(bias.grad()) }
}

/// A copy, channels innermost.
fn innermost(value: &Tensor, kind: Kind) -> Tensor {
    channels_last(&value.copy(), kind).unwrap().detach()
}

/// Relative L2.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let norm = f64::try_from(b.norm()).unwrap();
    let difference = f64::try_from((a - b).norm()).unwrap();
    if difference == 0.0 { 0.0 } else { difference / norm }
}
