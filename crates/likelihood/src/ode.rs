//! The likelihood of images by the probability-flow ODE (Song et al. 2021, Sec. 4.3 and App. D.2).

use std::f64::consts::LN_2;
use std::ops::ControlFlow;

use denoiser::Conditional;
use tch::{Device, Kind, Tensor};
use tracing::instrument;

use crate::batch::{Batch, Observer, Progress, Steps as Telling, Stoppable, append, summary};
use crate::dequantise::{Dequantisation, Points};
use crate::draws::Draws;
use crate::error::{BoxError, LikelihoodError};
use crate::flow::{self, Flow};
use crate::grey::{self, Grey};
use crate::levels::Levels;
use crate::network::{Network, Output, check_labels};
use crate::summary::Summary;

/// What [`ode`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct OdeOptions {
    /// The points where the flow is evaluated, see [`Levels::flow`].
    pub levels: Levels,
    /// What the network outputs.
    pub output: Output,
    /// How grey levels become continuous.
    pub dequantisation: Dequantisation,
    /// Number of random vectors per image for Hutchinson's estimate of the trace, at least 1. Each costs one more
    /// gradient and makes the values of single images less noisy.
    pub probes: usize,
    /// Whether to repeat the computation on every other level for [`Ode::step_error`], which adds half of the work.
    pub check_steps: bool,
    /// Seed of all draws.
    pub seed: u64,
    /// Index of the first image in its set. Image `first_index + k` has the same draws, whatever the batches.
    pub first_index: u64,
}

impl OdeOptions {
    /// Uniform dequantisation and one probe, without a check of the steps.
    #[must_use]
    pub fn new(levels: Levels, output: Output) -> Self {
        let dequantisation = Dequantisation::Uniform;
        Self { levels, output, dequantisation, probes: 1, check_steps: false, seed: 0, first_index: 0 }
    }
}

/// The likelihood by the flow, in bits per dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Ode {
    /// `-log2 P` of the grey levels; in expectation an upper bound on it, because of the dequantisation.
    pub bits: Summary,
    /// How far off the mean may be because of the finite number of steps. It is a third of the change on every other
    /// level, since the error is of second order. `None` unless requested.
    pub step_error: Option<f64>,
    /// Calls of the network for each image.
    pub calls: usize,
    /// Gradients through the network for each image.
    pub gradients: usize,
}

/// Computes the likelihood of images by the flow of a network, batch by batch.
///
/// `model` is called as in training: with `x_t`, scaled where the output's form requires it, t (i64 on a chain of
/// betas) and the batch's labels. libtorch must be able to differentiate its output with respect to `x_t`, so gradients are
/// enabled in about half of the calls. Neither the model nor the caller may disable them. The network's weights need
/// no gradients.
///
/// # Errors
/// [`LikelihoodError::NoGradient`] where there are none; [`LikelihoodError::Count`] for no probes; [`LikelihoodError::Schedule`] for
/// levels that end without signal; else those of [`crate::bound`].
#[instrument(level = "debug", skip_all, fields(levels = options.levels.len(), probes = options.probes))]
pub fn ode(
    options: &OdeOptions,
    model: &Conditional<'_>,
    batches: impl IntoIterator<Item = Result<Batch, BoxError>>,
    on_step: &mut Observer<'_>,
) -> Result<Ode, LikelihoodError> {
    options.check()?;
    let (mut bits, mut coarse) = (Vec::new(), Vec::new());
    for batch in batches {
        let Batch { images, labels } = batch.map_err(LikelihoodError::Caller)?;
        let done = bits.len();
        let draws = Draws { seed: options.seed, first: options.first_index.wrapping_add(done as u64) };
        let Grey { x_0, kind } = Grey::of(&images, draws.first)?;
        let network = options.network(model, check_labels(labels.as_ref(), &x_0)?, kind);
        let points = options.dequantisation.points(&options.levels, &network, &x_0, &draws)?;
        let flow = Flow::new(network, options.probes, (&draws, &x_0))?;
        let ControlFlow::Continue(values) = options.follow(&flow, &points, done, on_step)? else { break };
        append(&mut bits, &values.fine, draws.first)?;
        append(&mut coarse, &values.coarse, draws.first)?;
    }
    let bits = summary(bits)?;
    let step_error = options.check_steps.then(|| {
        let coarse = coarse.iter().sum::<f64>() / coarse.len() as f64;
        (coarse - bits.mean).abs() / 3.0
    });
    let (calls, gradients) = options.costs();
    let calls = calls + usize::from(options.dequantisation == Dequantisation::Noise);
    Ok(Ode { bits, step_error, calls, gradients })
}

/// The density `ln p` of points, in nats, one value per point. The points need not be grey levels. The density is
/// that of `x_t / alpha` at the first level of the flow.
///
/// `points` are `[b, c, h, w]` f32 or f64, with labels if the network takes any; point k has the draws of
/// `first_index + k`. The options' dequantisation and check of the steps are ignored.
///
/// # Errors
/// As [`ode`]; [`LikelihoodError::NoImages`] if the observer stopped it.
pub fn log_density(
    options: &OdeOptions,
    model: &Conditional<'_>,
    (points, labels): (&Tensor, Option<&Tensor>),
    on_step: &mut Observer<'_>,
) -> Result<Vec<f64>, LikelihoodError> {
    options.check()?;
    let kind = grey::check(points, &[Kind::Float, Kind::Double])?;
    let draws = Draws { seed: options.seed, first: options.first_index };
    let y = points.f_to_kind(Kind::Double)?;
    let network = options.network(model, check_labels(labels, &y)?, kind);
    let flow = Flow::new(network, options.probes, (&draws, &y))?;
    let numbers = numbers(&y);
    let points = Points { beside: Tensor::f_zeros([y.size()[0]], (Kind::Double, y.device()))?, y };
    let options = OdeOptions { check_steps: false, ..options.clone() };
    let mut bits = Vec::new();
    if let ControlFlow::Continue(values) = options.follow(&flow, &points, 0, on_step)? {
        append(&mut bits, &values.fine, draws.first)?;
    }
    if bits.is_empty() {
        return Err(LikelihoodError::NoImages);
    }
    Ok(bits.into_iter().map(|bits| -bits * numbers * LN_2).collect())
}

/// Bits per dimension of each image; `None` on coarse levels unless requested.
struct Values {
    fine: Vec<f64>,
    coarse: Vec<f64>,
}

impl OdeOptions {
    fn check(&self) -> Result<(), LikelihoodError> {
        if self.probes == 0 {
            let most = u32::MAX as usize;
            return Err(LikelihoodError::Count { what: "probes", got: 0, least: 1, most });
        }
        flow::check(&self.levels)
    }

    fn network<'a>(&self, model: &'a Conditional<'a>, labels: Option<Tensor>, kind: Kind) -> Network<'a> {
        Network { model, output: self.output, labels, kind, discrete: self.levels.discrete }
    }

    /// Follows the flow along the levels, and once more along every other one if the steps are checked.
    fn follow(
        &self,
        flow: &Flow<'_>,
        points: &Points,
        done: usize,
        on_step: &mut Observer<'_>,
    ) -> Result<Stoppable<Values>, LikelihoodError> {
        let grids: Vec<Levels> = self.grids().collect();
        let of = grids.iter().map(Levels::len).sum();
        let progress = Progress { images: done, batch: points.y.size()[0] as usize, step: 0, of };
        let mut telling = Telling { progress, on_step };
        let mut values = Vec::with_capacity(grids.len());
        for levels in &grids {
            let ControlFlow::Continue(nats) = flow.log_density(&points.y, levels, &mut telling)? else {
                return Ok(ControlFlow::Break(()));
            };
            let bits = points.beside.f_sub(&nats.f_div_scalar(numbers(&points.y) * LN_2)?)?;
            values.push(Vec::<f64>::try_from(bits.f_to_device(Device::Cpu)?)?);
        }
        let coarse = if values.len() > 1 { values.remove(1) } else { Vec::new() };
        Ok(ControlFlow::Continue(Values { fine: values.swap_remove(0), coarse }))
    }

    /// The levels, and every other one of them if the steps are checked.
    fn grids(&self) -> impl Iterator<Item = Levels> {
        std::iter::once(self.levels.clone()).chain(self.check_steps.then(|| self.levels.coarser()))
    }

    /// Calls of the network and gradients for each image along the levels.
    fn costs(&self) -> (usize, usize) {
        let points: Vec<usize> = self.grids().map(|levels| levels.len()).collect();
        let calls = points.iter().map(|points| 2 * points - 1).sum();
        (calls, points.iter().sum::<usize>() * self.probes)
    }
}

/// How many numbers an image has.
fn numbers(images: &Tensor) -> f64 {
    (images.numel() as i64 / images.size()[0]) as f64
}
