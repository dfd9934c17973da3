//! Loss and gradient of every objective against formulas written out here, in f64: every path, output and weight, waited and
//! queued.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use schedule::{Continuous, ContinuousPath, Level, LossWeight, NoisePath, Prediction, Schedule};
use support::config;
use tch::{Device, Kind, Tensor};
use trainer::{
    Batch, BoxError, Checkpoint, Draw, Interval, Loss, LossHistory, Share, StepReport, TimeSampling,
    TrainConfig, Trainer,
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

/// The weight of the squared error of eps, times the factor from an error of the output to one of eps.
fn weight(weight: LossWeight, prediction: Prediction, level: &Level) -> f64 {
    let Level { alpha, sigma, .. } = *level;
    let snr = (alpha / sigma).powi(2);
    let in_eps = match prediction {
        Prediction::Eps => 1.0,
        Prediction::X0 => alpha / sigma,
        Prediction::V => alpha / alpha.hypot(sigma),
        Prediction::Velocity => alpha / (alpha + sigma),
        Prediction::Edm { sigma_data } => {
            alpha * sigma_data / ((alpha * sigma_data).powi(2) + sigma * sigma).sqrt()
        }
        other => panic!("{other}"),
    };
    match weight {
        LossWeight::Simple => in_eps * in_eps,
        LossWeight::MinSnr => in_eps * in_eps * snr.min(5.0) / snr,
        LossWeight::P2 => in_eps * in_eps / (1.0 + snr),
        LossWeight::Output => 1.0,
        LossWeight::Edm { sigma_data } => {
            in_eps * in_eps * (1.0 / snr + sigma_data * sigma_data) / (sigma_data * sigma_data)
        }
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
    let params = vec![("w".to_owned(), weights.shallow_clone())];
    let mut trainer = Trainer::new(&params, path, settings, SEED, Device::Cpu).unwrap();
    let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let weights = weights.to_kind(Kind::Double);
        Ok(x * weights.get(0) + weights.get(1))
    };
    let batch = Batch { images: images(), labels: None };
    let report = if queued {
        trainer.work_ahead(true).unwrap();
        let step = trainer.queue_step(0, &batch, &model).unwrap();
        trainer.finish_step(step).unwrap()
    } else {
        trainer.train_step(&batch, &model).unwrap()
    };
    let gradient = Vec::<f64>::try_from(weights.grad().to_kind(Kind::Double)).unwrap();
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
                    let settings = TrainConfig { prediction, loss_weight, loss, grad_clip: 1e9, ..config(3) };
                    let known =
                        settings.output() != prediction || matches!(prediction, Prediction::Edm { .. });
                    let edm = known || matches!(loss_weight, LossWeight::Edm { .. });
                    let sigma_data = edm.then_some(SIGMA_DATA);
                    check(&*path, &TrainConfig { sigma_data, ..settings });
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

/// Levels drawn by loss concentrate where the losses are large, and a resumed run draws the same ones as an
/// uninterrupted run.
#[test]
fn draws_by_loss_follow_the_losses_and_are_resumed() {
    let schedule = Schedule::ddpm();
    let settings = TrainConfig { time_sampling: TimeSampling::ByLoss, batch: 512, ..config(60) };
    let begun = || {
        let params = vec![("w".to_owned(), Tensor::from_slice(&[0.1_f32]).set_requires_grad(true))];
        let trainer = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
        (params[0].1.shallow_clone(), trainer)
    };
    let steps = |weight: &Tensor, trainer: &mut Trainer, count: usize| {
        // The output is off by 3 in the lower half of the chain.
        let model = |x: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(x * weight + t.lt(500.0).to_kind(Kind::Float).view([-1, 1, 1, 1]) * 3.0)
        };
        let batch =
            || Batch { images: Tensor::ones([512, 1, 1, 1], (Kind::Float, Device::Cpu)), labels: None };
        (0..count).map(|_| trainer.train_step(&batch(), &model).unwrap()).collect::<Vec<_>>()
    };
    let (weight, mut whole) = begun();
    let reports = steps(&weight, &mut whole, 40);
    let lower = |report: &StepReport| report.t.iter().filter(|&&t| t < 500.0).count();
    assert!(
        lower(&reports[0]) < 300 && lower(&reports[39]) > 400,
        "{} then {}",
        lower(&reports[0]),
        lower(&reports[39])
    );

    let folder = tempfile::tempdir().unwrap();
    let (weight, mut part) = begun();
    steps(&weight, &mut part, 25);
    let saved = Checkpoint::write(folder.path(), &part, &Interval::default(), "").unwrap();
    let (weight, mut resumed) = begun();
    Checkpoint::open(&saved.path).unwrap().restore(&mut resumed).unwrap();
    assert_eq!(steps(&weight, &mut resumed, 15), reports[25..]);
}
