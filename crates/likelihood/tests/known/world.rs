//! Independent pixels from a Gaussian or a mixture of two, and the optimal network on any path for any output.

use std::ops::ControlFlow;

use likelihood::{Batch, BoxError, Observer, Output, Progress};
use schedule::{Continuous, ContinuousPath, Level, NoisePath, Prediction, Schedule};
use tch::{Device, Kind, Tensor};

/// Weight, mean and deviation of each Gaussian.
pub(crate) type Parts = [(f64, f64, f64)];

pub(crate) const GAUSSIAN: &Parts = &[(1.0, 0.4, 0.3)];
/// Between black and white, except for 2 pixels in 100,000.
pub(crate) const MIXTURE: &Parts = &[(0.3, -0.5, 0.12), (0.7, 0.4, 0.15)];

pub(crate) fn paths() -> Vec<(&'static str, Box<dyn NoisePath>)> {
    let mut paths: Vec<(_, Box<dyn NoisePath>)> = vec![("linear", path("linear"))];
    for name in Continuous::NAMES {
        paths.push((name, path(name)));
    }
    paths
}

pub(crate) fn path(name: &str) -> Box<dyn NoisePath> {
    // For such small tensors, waiting threads take four times as long as a single one.
    tch::set_num_threads(1);
    match name {
        "linear" => Box::new(Schedule::ddpm()),
        _ => Box::new(ContinuousPath::new(name.parse().unwrap(), 1000).unwrap()),
    }
}

pub(crate) fn predictions() -> impl Iterator<Item = Prediction> {
    Prediction::NAMES.iter().map(|name| name.parse().unwrap())
}

pub(crate) fn output(prediction: Prediction) -> Output {
    Output { prediction, learned_variance: false }
}

/// The levels of a batch of t, whole or not.
pub(crate) fn levels(path: &dyn NoisePath, t: &Tensor) -> Result<Vec<Level>, BoxError> {
    let t = Vec::<f64>::try_from(t.f_to_kind(Kind::Double)?)?;
    Ok(t.into_iter().map(|t| path.level_at(t.clamp(0.0, 999.0))).collect::<Result<_, _>>()?)
}

/// One number per level, `[b, 1, 1, 1]`.
pub(crate) fn each(levels: &[Level], of: impl Fn(&Level) -> f64) -> Tensor {
    Tensor::from_slice(&levels.iter().map(of).collect::<Vec<_>>()).view([-1, 1, 1, 1])
}

/// The output of the optimal network.
pub(crate) fn network<'a>(
    path: &'a dyn NoisePath,
    prediction: Prediction,
    parts: &'a Parts,
) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + 'a {
    move |shown, t, _| {
        let levels = levels(path, t)?;
        let number = |of: fn(&Level) -> f64| each(&levels, of);
        let x = shown.to_kind(Kind::Double) / each(&levels, |level| prediction.c_in(level));
        let (mut likelihoods, mut guesses) = (Vec::new(), Vec::new());
        for &(weight, mean, deviation) in parts {
            let width = each(&levels, |level| (level.alpha * deviation).hypot(level.sigma));
            let z = (&x - number(|level| level.alpha) * mean) / &width;
            likelihoods.push(z.square() * -0.5 - width.log() + weight.ln());
            guesses.push(z * (number(|level| level.alpha) * deviation * deviation / width) + mean);
        }
        let shares = Tensor::stack(&likelihoods, 0).softmax(0, Kind::Double);
        let x_0 = (shares * Tensor::stack(&guesses, 0)).sum_dim_intlist(0_i64, false, Kind::Double);
        let eps = (x - number(|level| level.alpha) * &x_0) / number(|level| level.sigma);
        let (of_x_0, of_eps) =
            (each(&levels, |l| prediction.target(l).x_0), each(&levels, |l| prediction.target(l).eps));
        Ok((x_0 * of_x_0 + eps * of_eps).to_kind(shown.kind()))
    }
}

/// The probability of grey levels `x_0` of the parts: the mass between the midpoints to their neighbours, and
/// everything beyond at the two ends.
pub(crate) fn mass(parts: &Parts, x_0: &Tensor) -> Tensor {
    let below = |edge: f64| {
        let of = |&(weight, mean, deviation): &(f64, f64, f64)| {
            ((x_0 + edge - mean) / deviation).special_ndtr() * weight
        };
        parts.iter().map(of).reduce(|a, b| a + b).unwrap()
    };
    let upper = below(1.0 / 255.0).where_self(&x_0.lt(0.999), &x_0.ones_like());
    let lower = below(-1.0 / 255.0).where_self(&x_0.gt(-0.999), &x_0.zeros_like());
    upper - lower
}

/// All 256 grey levels, `times` over, as f64 images of one pixel, `[256 times, 1, 1, 1]`.
pub(crate) fn all_levels(times: i64) -> Tensor {
    let levels = Tensor::arange(256, (Kind::Double, Device::Cpu)) / 127.5 - 1.0;
    levels.repeat([times]).view([-1, 1, 1, 1])
}

/// The mean over data of values of [`all_levels`], weighted by their probabilities, and its standard error from the
/// repeats.
pub(crate) fn over_data(parts: &Parts, values: &[f64]) -> (f64, f64) {
    let shares = Vec::<f64>::try_from(mass(parts, &all_levels(1)).view(-1)).unwrap();
    let means: Vec<f64> = values
        .chunks_exact(256)
        .map(|values| values.iter().zip(&shares).map(|(value, share)| value * share).sum())
        .collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let squares: f64 = means.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

/// The entropy of the grey levels: the length of the best code.
pub(crate) fn entropy(parts: &Parts) -> f64 {
    let shares = mass(parts, &all_levels(1)).clamp_min(1e-300);
    -(&shares * shares.log2()).sum(Kind::Double).double_value(&[])
}

pub(crate) fn one(images: Tensor) -> [Result<Batch, BoxError>; 1] {
    [Ok(Batch { images, labels: None })]
}

pub(crate) fn go_on() -> Box<Observer<'static>> {
    Box::new(|_: &Progress| Ok(ControlFlow::Continue(())))
}
