//! Loss and gradient of every objective against formulas written out here, in f64: every path, output and weight, waited and
//! queued. Learned variances are in `bound.rs`, levels drawn by loss in `by_loss.rs`.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod bound;
mod by_loss;

use schedule::ndarray::arr1;
use schedule::{Continuous, ContinuousPath, Level, LossWeight, NoisePath, Prediction, Schedule};
use support::{config, step_once};
use tch::{Device, Kind, Tensor};
use trainer::{
    Batch, BoxError, Draw, LearnedVariance, Loss, LossHistory, Share, TimeSampling, TrainConfig, Trainer,
    TrainerError,
};

const SEED: u64 = 5;
const SHAPE: [i64; 4] = [7, 1, 2, 3];
const PIXELS: usize = 6;
/// The network: `F = w_0 c_in x_t + w_1`.
const WEIGHTS: [f64; 2] = [0.25, -0.125];
const SIGMA_DATA: f64 = 0.6;

fn images() -> Tensor {
    (Tensor::arange(SHAPE.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * 0.9).sin().view(SHAPE)
}

/// The target of the output, and the scale of the network's input, from the papers' own equations.
fn wanted(prediction: Prediction, level: &Level, x_0: f64, eps: f64) -> (f64, f64) {
    let Level { alpha, sigma, .. } = *level;
    let x_t = alpha * x_0 + sigma * eps;
    let plain = if alpha == 1.0 { x_t / (1.0 + sigma * sigma).sqrt() } else { x_t };
    match prediction {
        Prediction::Eps => (eps, plain),
        Prediction::X0 => (x_0, plain),
        Prediction::V => ((alpha * eps - sigma * x_0) / alpha.hypot(sigma), plain),
        Prediction::Velocity => (eps - x_0, plain),
        Prediction::Edm { sigma_data } => {
            // Karras et al. 2022, Eq. 8, with alpha: subtract the best linear guess and scale the rest to unit
            // variance.
            let total = (alpha * sigma_data).powi(2) + sigma * sigma;
            let skip = alpha * sigma_data * sigma_data / total;
            let out = sigma * sigma_data / total.sqrt();
            ((x_0 - skip * x_t) / out, x_t / total.sqrt())
        }
        other => panic!("{other}"),
    }
}

/// The papers' weights of the squared error of x_0, times the factor from an error of the output to one of x_0. Without signal
/// an error of eps says nothing about x_0, so eps has its own.
fn weight(weight: LossWeight, prediction: Prediction, level: &Level) -> f64 {
    let Level { alpha, sigma, .. } = *level;
    let snr = (alpha / sigma).powi(2);
    let in_x_0 = match prediction {
        Prediction::Eps => {
            return match weight {
                LossWeight::Simple | LossWeight::Output => 1.0,
                LossWeight::MinSnr => (5.0 / snr).min(1.0),
                LossWeight::P2 => 1.0 / (1.0 + snr),
                LossWeight::Edm { sigma_data } => 1.0 + 1.0 / (snr * sigma_data * sigma_data),
                other => panic!("{other}"),
            };
        }
        Prediction::X0 => 1.0,
        Prediction::V => sigma / alpha.hypot(sigma),
        Prediction::Velocity => sigma / (alpha + sigma),
        Prediction::Edm { sigma_data } => sigma * sigma_data / (alpha * sigma_data).hypot(sigma),
        other => panic!("{other}"),
    };
    match weight {
        LossWeight::Simple => in_x_0 * in_x_0 * snr,
        LossWeight::MinSnr => in_x_0 * in_x_0 * snr.min(5.0),
        LossWeight::P2 => in_x_0 * in_x_0 * snr / (1.0 + snr),
        LossWeight::Output => 1.0,
        LossWeight::Edm { sigma_data } => in_x_0 * in_x_0 * (snr + 1.0 / (sigma_data * sigma_data)),
        other => panic!("{other}"),
    }
}

/// Value and derivative of an error.
fn error(loss: Loss, d: f64) -> (f64, f64) {
    match loss {
        Loss::Huber if d.abs() > 1.0 => (2.0 * d.abs() - 1.0, 2.0 * d.signum()),
        _ => (d * d, 2.0 * d),
    }
}

struct Got {
    loss: f64,
    gradient: Vec<f64>,
    losses: Vec<f32>,
}

fn stepped(path: &dyn NoisePath, settings: &TrainConfig, queued: bool) -> Got {
    // Adam's parameters are f32; everything else is f64.
    let weights = Tensor::from_slice(&WEIGHTS.map(|w| w as f32)).set_requires_grad(true);
    let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let weights = weights.to_kind(Kind::Double);
        Ok(x * weights.get(0) + weights.get(1))
    };
    let (report, gradient) = step_once(&weights, (path, settings, SEED), images(), model, queued);
    Got { loss: report.loss, gradient, losses: report.losses }
}

fn check(path: &dyn NoisePath, settings: &TrainConfig) {
    let prediction = settings.output();
    let share = Share::whole(SHAPE[0] as usize);
    let draw = Draw::new(path, settings, &LossHistory::default(), (&share, PIXELS), (SEED, 0)).unwrap();
    let x_0 = Vec::<f64>::try_from(images().view(-1)).unwrap();
    let (mut loss, mut gradient, mut losses) = (0.0, [0.0; 2], Vec::new());
    for (image, level) in draw.levels.iter().enumerate() {
        let (mut mean, mut slopes) = (0.0, [0.0; 2]);
        let pixels = x_0.iter().zip(&draw.noise).skip(image * PIXELS).take(PIXELS);
        for (x_0, eps) in pixels {
            let (target, seen) = wanted(prediction, level, *x_0, f64::from(*eps));
            let (value, slope) = error(settings.loss, WEIGHTS[0] * seen + WEIGHTS[1] - target);
            mean += value / PIXELS as f64;
            slopes[0] += slope * seen / PIXELS as f64;
            slopes[1] += slope / PIXELS as f64;
        }
        let counts = weight(settings.weight(), prediction, level) / SHAPE[0] as f64;
        loss += counts * mean;
        gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += counts * slope);
        losses.push(mean * weight(LossWeight::Simple, prediction, level));
    }
    let end = path.noisiest().unwrap();
    let name = format!("{}, {}, {:?}, to {end:?}", prediction, settings.loss_weight, settings.loss);
    for queued in [false, true] {
        let got = stepped(path, settings, queued);
        // A queued step reports f32.
        let close = if queued { 1e-6 } else { 1e-9 };
        assert!((got.loss / loss - 1.0).abs() < close, "{name}: {} is not {loss}", got.loss);
        for (got, want) in got.gradient.iter().zip(gradient) {
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{name}: {got} is not {want}");
        }
        for (got, want) in got.losses.iter().zip(&losses) {
            assert!((f64::from(*got) - want).abs() < 1e-6 * (1.0 + want), "{name}: {got} is not {want}");
        }
    }
}

/// A run without clipping, with the deviation of the data where it is known.
fn settings(prediction: Prediction, loss_weight: LossWeight) -> TrainConfig {
    let edm = matches!(prediction, Prediction::Edm { .. }) || matches!(loss_weight, LossWeight::Edm { .. });
    let sigma_data = edm.then_some(SIGMA_DATA);
    TrainConfig { prediction, loss_weight, sigma_data, grad_clip: 1e9, ..config(3) }
}

/// A chain so short that a batch has images at both of its ends.
fn short_chain() -> Schedule {
    Schedule::from_betas(arr1(&[0.1, 0.2, 0.3, 0.4, 0.5])).unwrap()
}

fn paths() -> Vec<Box<dyn NoisePath>> {
    let mut paths: Vec<Box<dyn NoisePath>> = vec![Box::new(Schedule::ddpm())];
    for name in Continuous::NAMES {
        paths.push(Box::new(ContinuousPath::new(name.parse().unwrap(), 1000).unwrap()));
    }
    paths
}

#[test]
fn every_output_with_every_weight_on_every_path() {
    for path in paths() {
        for prediction in Prediction::NAMES {
            for loss_weight in LossWeight::NAMES {
                for loss in [Loss::Squared, Loss::Huber] {
                    let (prediction, loss_weight) =
                        (prediction.parse().unwrap(), loss_weight.parse().unwrap());
                    check(&*path, &TrainConfig { loss, ..settings(prediction, loss_weight) });
                }
            }
        }
    }
}

#[test]
fn every_way_to_draw_levels_in_parts_of_a_batch() {
    for path in paths() {
        for time_sampling in [
            TimeSampling::Uniform,
            TimeSampling::Stratified,
            TimeSampling::LogNormal,
            TimeSampling::LogitNormal,
            TimeSampling::ByLoss,
        ] {
            for micro_batch in [0, 3] {
                let settings = TrainConfig {
                    prediction: Prediction::V,
                    time_sampling,
                    micro_batch,
                    grad_clip: 1e9,
                    ..config(3)
                };
                check(&*path, &settings);
            }
        }
    }
}

/// Lin et al. 2024: the last level of the chain is pure noise. v, and every other output that says something about x_0 there,
/// has its loss and gradient as elsewhere. eps has the noise itself as its target, so only weights that ask for x_0 fail.
#[test]
fn a_chain_may_end_without_signal() {
    let chain = short_chain().with_zero_terminal_snr().unwrap();
    let share = Share::whole(SHAPE[0] as usize);
    let draw = Draw::new(&chain, &config(3), &LossHistory::default(), (&share, PIXELS), (SEED, 0)).unwrap();
    assert!(draw.levels[6].alpha == 0.0 && draw.levels[0].alpha > 0.9, "{:?}", draw.levels);
    for prediction in Prediction::NAMES {
        for loss_weight in LossWeight::NAMES {
            let (prediction, loss_weight) = (prediction.parse().unwrap(), loss_weight.parse().unwrap());
            let settings = settings(prediction, loss_weight);
            if prediction != Prediction::Eps || !matches!(loss_weight, LossWeight::Edm { .. }) {
                check(&chain, &settings);
                continue;
            }
            let error = first_step(&chain, &settings, 1).unwrap_err();
            assert!(matches!(error, TrainerError::NonFinite { what: "the loss", .. }), "{error}");
        }
    }
    // The bound needs x_0.
    let learned = TrainConfig { variance: LearnedVariance::Learned, ..config(3) };
    let error = first_step(&chain, &learned, 2).unwrap_err();
    assert!(matches!(error, TrainerError::Schedule(_)), "{error}");
}

/// The error of a step of a network whose output is its input, repeated for each of `outputs` per channel.
fn first_step(path: &dyn NoisePath, settings: &TrainConfig, outputs: i64) -> Result<(), TrainerError> {
    let weight = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
    let params = vec![("w".to_owned(), weight.shallow_clone())];
    let mut trainer = Trainer::new(&params, path, settings, SEED, Device::Cpu)?;
    let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        Ok((x * &weight).repeat([1, outputs, 1, 1]))
    };
    trainer.train_step(&Batch { images: images(), labels: None }, &model).map(drop)
}
