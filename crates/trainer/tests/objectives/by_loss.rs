//! Levels drawn by loss: they follow the losses, are the same after a stop, and the expected loss is that of uniform draws.

use schedule::{LossWeight, NoisePath, Prediction, Schedule};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{
    Batch, BoxError, Checkpoint, Draw, Interval, LossHistory, Share, StepReport, TimeSampling, TrainConfig,
    Trainer,
};

use crate::SEED;
use crate::support::config;

/// Images of a batch: enough to fill the history in a few steps.
pub(crate) const IMAGES: usize = 512;
/// Steps after which the history is full.
pub(crate) const STEPS: usize = 40;

/// What is drawn for the next step of a trainer, from the history in its checkpoint.
pub(crate) fn next_draw(trainer: &Trainer, path: &dyn NoisePath, settings: &TrainConfig) -> Draw {
    let folder = tempfile::tempdir().unwrap();
    let saved = Checkpoint::write(folder.path(), trainer, &Interval::default(), "").unwrap();
    let (history, step) = (&saved.state.run.history, trainer.steps_done());
    let draw =
        Draw::new(path, settings, history, (&Share::whole(IMAGES), 1), (trainer.seed(), step)).unwrap();
    let (least, most) =
        draw.oversampled.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &x| (a.min(x), b.max(x)));
    assert!(least < 0.7 && most > 1.3, "drawn {least} to {most} times as often as uniformly");
    draw
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

/// The network's output is off by 3 in the lower half of the chain. One parameter.
fn model(weight: &Tensor) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + '_ {
    move |x, t, _| {
        Ok(x * weight.to_kind(Kind::Double) + t.lt(500.0).to_kind(Kind::Double).view([-1, 1, 1, 1]) * 3.0)
    }
}

/// Loss and gradient of a step with a filled history: each image's error is divided by how much more often its level is drawn.
#[test]
fn each_loss_is_divided_by_how_often_its_level_is_drawn() {
    let schedule = Schedule::ddpm();
    for (loss_weight, gamma) in [(LossWeight::Simple, f64::INFINITY), (LossWeight::MinSnr, 5.0)] {
        let settings = TrainConfig {
            time_sampling: TimeSampling::ByLoss,
            prediction: Prediction::Eps,
            loss_weight,
            grad_clip: 1e9,
            batch: IMAGES,
            ..config(60)
        };
        let params: Vec<Named> =
            vec![("w".to_owned(), Tensor::from_slice(&[0.1_f32]).set_requires_grad(true))];
        let mut trainer = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
        let weight = params[0].1.shallow_clone();
        let batch = || Batch {
            images: Tensor::ones([IMAGES as i64, 1, 1, 1], (Kind::Double, Device::Cpu)),
            labels: None,
        };
        for _ in 0..STEPS {
            trainer.train_step(&batch(), &model(&weight)).unwrap();
        }
        let draw = next_draw(&trainer, &schedule, &settings);
        let w = weight.double_value(&[0]);
        let (mut loss, mut gradient) = (0.0, 0.0);
        for ((level, often), eps) in draw.levels.iter().zip(&draw.oversampled).zip(&draw.noise) {
            let (x_t, eps) = (level.alpha + level.sigma * f64::from(*eps), f64::from(*eps));
            let error = w * x_t + if level.t < 500.0 { 3.0 } else { 0.0 } - eps;
            let counts = (gamma / (level.alpha / level.sigma).powi(2)).min(1.0) / often / IMAGES as f64;
            loss += counts * error * error;
            gradient += counts * 2.0 * error * x_t;
        }
        let report = trainer.train_step(&batch(), &model(&weight)).unwrap();
        assert!((report.loss / loss - 1.0).abs() < 1e-9, "{loss_weight}: {} is not {loss}", report.loss);
        let got = weight.grad().double_value(&[0]);
        assert!(
            (got - gradient).abs() < 1e-6 * (1.0 + gradient.abs()),
            "{loss_weight}: {got} is not {gradient}"
        );
    }
}

/// Importance sampling: divided by how often a level is drawn, any function of the level has the mean of uniform draws, and a
/// level is drawn as often as its divisor says.
#[test]
fn the_divisors_are_those_of_the_draws() {
    let schedule = Schedule::ddpm();
    // Ten losses in each hundredth of the chain, which rise twentyfold along it.
    let parts: Vec<Vec<f64>> = (0..100).map(|part| vec![1.0 + 0.19 * f64::from(part); 10]).collect();
    let history: LossHistory =
        serde_json::from_value(serde_json::json!({ "parts": parts, "last": null })).unwrap();
    let settings = TrainConfig { time_sampling: TimeSampling::ByLoss, ..config(60) };
    let count = 40_000_usize;
    let draw = Draw::new(&schedule, &settings, &history, (&Share::whole(count), 0), (SEED, 30)).unwrap();

    let mut drawn = vec![(0_u32, 0.0); 100];
    for (level, &often) in draw.levels.iter().zip(&draw.oversampled) {
        let part = &mut drawn[level.t as usize / 10];
        assert!(part.0 == 0 || (part.1 - often).abs() < 1e-12, "two divisors in one part");
        *part = (part.0 + 1, often);
    }
    for (part, (times, often)) in drawn.iter().enumerate() {
        let expected = often * count as f64 / 100.0;
        let off = (f64::from(*times) - expected).abs();
        assert!(*times > 0 && off < 5.0 * expected.sqrt(), "part {part}: {times} times, not {expected:.0}");
    }
    assert!(drawn[99].1 > 10.0 * drawn[0].1, "{drawn:?}");

    let of_level = |f: &dyn Fn(f64) -> f64| {
        let terms: Vec<f64> =
            draw.levels.iter().zip(&draw.oversampled).map(|(level, often)| f(level.t) / often).collect();
        let mean = terms.iter().sum::<f64>() / count as f64;
        let variance = terms.iter().map(|term| (term - mean).powi(2)).sum::<f64>() / count as f64;
        let error = (variance / count as f64).sqrt();
        let uniform = (0..1000_u32).map(|t| f(f64::from(t))).sum::<f64>() / 1000.0;
        assert!(
            (mean - uniform).abs() < 5.0 * error && error < 0.03 * uniform,
            "{mean} is not {uniform} +- {error}"
        );
    };
    of_level(&|_| 1.0);
    of_level(&|t| 1.0 + t / 1000.0);
    of_level(&|t| (-t / 200.0).exp());
}
