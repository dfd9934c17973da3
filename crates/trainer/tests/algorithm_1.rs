//! The engine computes the loss of Algorithm 1 as the example writes it down from the paper.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/algorithm_1.rs"]
mod algorithm_1;
mod support;

use schedule::{BetaSchedule, LossWeight, NoisePath, Schedule};
use support::config;
use tch::{Device, Kind, Tensor};
use trainer::{Batch, BoxError, Draw, LossHistory, Share, TrainConfig, Trainer};

const SEED: u64 = 11;
const SHAPE: [i64; 4] = [6, 2, 4, 4];

/// A network with one parameter that uses x_t and t.
fn eps_theta(weight: &Tensor, x_t: &Tensor, t: &Tensor) -> Tensor {
    let t = t.to_kind(weight.kind()).view([-1, 1, 1, 1]) / 1000.0;
    (x_t * weight + &t).tanh() + x_t.square() * 0.1
}

/// The engine's draws for a step.
fn drawn(path: &dyn NoisePath, settings: &TrainConfig, step: u64) -> Draw {
    let numbers = SHAPE[1..].iter().product::<i64>() as usize;
    let images = Share::whole(SHAPE[0] as usize);
    Draw::new(path, settings, &LossHistory::default(), (&images, numbers), (SEED, step)).unwrap()
}

#[test]
fn the_engine_has_the_loss_of_the_paper() {
    for name in ["linear", "cosine"] {
        let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
        let x_0 = (Tensor::arange(SHAPE.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * 0.7).sin();
        let x_0 = x_0.view(SHAPE);
        let weight = Tensor::from_slice(&[0.3_f32]).set_requires_grad(true);
        let params = vec![("weight".to_owned(), weight.shallow_clone())];
        let settings = TrainConfig { ema_warmup: false, ..config(3) };
        let mut trainer = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
        for step in 0..3 {
            let before = weight.detach().copy().to_kind(Kind::Double);
            let draw = drawn(&schedule, &settings, step);
            let t: Vec<i64> = draw.levels.iter().map(|level| level.t as i64).collect();
            let t = Tensor::from_slice(&t);
            let eps = tensor_io::from_slice(&draw.noise, &SHAPE).unwrap().to_kind(Kind::Double);
            let network = |x_t: &Tensor, t: &Tensor| eps_theta(&before, x_t, t);
            let want = algorithm_1::loss(&schedule, network, &x_0.to_kind(Kind::Double), &t, &eps);
            let want = want.double_value(&[]);

            let model = |x_t: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok(eps_theta(&weight, x_t, t))
            };
            let batch = Batch { images: x_0.shallow_clone(), labels: None };
            let report = trainer.train_step(&batch, &model).unwrap();
            assert_eq!(report.t, draw.levels.iter().map(|level| level.t).collect::<Vec<_>>());
            // The engine computes in f32.
            assert!((report.loss / want - 1.0).abs() < 1e-6, "{name}, step {step}: {} {want}", report.loss);
        }
    }
}

/// A network with a constant output: loss and gradient have closed forms.
#[test]
fn weights_are_those_of_each_image() {
    let schedule = Schedule::ddpm();
    let numbers = SHAPE[1..].iter().product::<i64>() as usize;
    for name in LossWeight::NAMES {
        for micro_batch in [0, 4] {
            let guess = Tensor::from_slice(&[0.3_f32]).set_requires_grad(true);
            let params = vec![("guess".to_owned(), guess.shallow_clone())];
            let settings = TrainConfig { loss_weight: name.parse().unwrap(), micro_batch, ..config(2) };
            let mut waits = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
            let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok(&guess + x_t.zeros_like())
            };
            let batch = Batch { images: Tensor::zeros(SHAPE, (Kind::Float, Device::Cpu)), labels: None };
            let report = waits.train_step(&batch, &model).unwrap();
            let draw = drawn(&schedule, &settings, 0);
            let (mut want, mut slope) = (0.0, 0.0);
            for (level, noise) in draw.levels.iter().zip(draw.noise.chunks(numbers)) {
                let weight = settings.loss_weight.of(settings.prediction, level);
                let mean = |f: &dyn Fn(f64) -> f64| {
                    noise.iter().map(|&eps| f(f64::from(0.3_f32) - f64::from(eps))).sum::<f64>()
                        / numbers as f64
                };
                want += weight * mean(&|d| d * d) / SHAPE[0] as f64;
                slope += weight * mean(&|d| 2.0 * d) / SHAPE[0] as f64;
            }
            assert!((report.loss / want - 1.0).abs() < 1e-6, "{name}: {} is not {want}", report.loss);
            assert!(
                (report.grad_norm / slope.abs() - 1.0).abs() < 1e-5,
                "{name}: {} {slope}",
                report.grad_norm
            );

            let _ = guess.detach().fill_(0.3);
            let mut queues = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
            queues.work_ahead(true).unwrap();
            let queued = queues.queue_step(0, &batch, &model).unwrap();
            let queued = queues.finish_step(queued).unwrap();
            assert!((queued.loss / want - 1.0).abs() < 1e-6, "{name}: queued {}", queued.loss);
            assert_eq!(queued.losses, report.losses);
        }
    }
}
