//! Training on a GPU: queued and recorded steps against waited ones. The tests are ignored by default;
//! `cargo xtask test` runs them if there is a GPU, and `cargo test -p trainer --test gpu -- --ignored` always does.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;
#[path = "support/turn.rs"]
mod turn;

use std::sync::atomic::AtomicBool;
use unet::Backbone;

use support::{Silent, config, model, net_on, ring, trainer};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{Batch, Fit, OnNan, Outcome, Queued, RunFolder, TrainConfig, Trainer, TrainerError};
use turn::gpu;

const STEPS: u64 = 12;

/// With such an eps, a gradient that is only rounding error makes no step.
fn numbers() -> TrainConfig {
    TrainConfig { adam_eps: 0.1, weight_decay: 0.1, label_dropout: 0.3, ..config(STEPS) }
}

fn batch(step: u64) -> Batch {
    let labels = Tensor::arange(6, (Kind::Int64, Device::Cpu)).remainder(3);
    Batch { images: ring(6).images * (1.0 - 0.05 * step as f64), labels: Some(labels) }
}

fn assert_near(got: &[Named], expected: &[Named], limit: f64) {
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        let (got, expected) = (got.to_device(Device::Cpu), expected.to_device(Device::Cpu));
        let apart = f64::try_from((got - &expected).norm()).unwrap();
        let size = f64::try_from(expected.norm()).unwrap();
        assert!(apart <= limit * size.max(1e-3), "{name}: {apart} of {size}");
    }
}

/// All steps, each queued while the previous one runs.
fn queue_all(trainer: &mut Trainer, net: &unet::UNet) -> Vec<f64> {
    let mut queued: Option<Queued> = None;
    let mut step = |step: u64| {
        let another = step + 1 < STEPS;
        trainer.train_step_ahead(&mut queued, another, &mut |step| Ok(batch(step)), &model(net)).unwrap().loss
    };
    (0..STEPS).map(&mut step).collect()
}

/// Dropout uses the GPU's own masks, so only waited steps have the same ones.
#[test]
#[ignore = "needs a GPU"]
fn queued_steps_are_the_steps() {
    let (_turn, device) = gpu();
    for (dropout, other, micro_batch) in [(0.0, Device::Cpu, 0), (0.0, Device::Cpu, 4), (0.3, device, 0)] {
        let numbers = TrainConfig { micro_batch, ..numbers() };
        let nets = [other, device].map(|device| net_on(device, Some(3), dropout, 5));
        let [mut waits, mut ahead] = nets.each_ref().map(|net| trainer(net, &numbers, 5));
        let expected: Vec<f64> =
            (0..STEPS).map(|step| waits.train_step(&batch(step), &model(&nets[0])).unwrap().loss).collect();
        assert!(ahead.works_ahead());
        let got = queue_all(&mut ahead, &nets[1]);
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-3 * expected, "{got} is not {expected}");
        }
        assert_near(ahead.params(), waits.params(), 1e-3);
        assert_near(ahead.ema_weights(), waits.ema_weights(), 1e-3);
    }
}

#[test]
#[ignore = "needs a GPU"]
fn steps_are_the_same_without_a_recording() {
    let (_turn, device) = gpu();
    let run = |recorded: bool| {
        let net = net_on(device, Some(3), 0.0, 5);
        let mut trainer = trainer(&net, &numbers(), 5);
        if !recorded {
            trainer.work_unrecorded().unwrap();
        }
        let losses = queue_all(&mut trainer, &net);
        assert_eq!(trainer.is_recorded(), recorded);
        (losses, trainer)
    };
    let ((got, with), (expected, without)) = (run(true), run(false));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4 * expected, "{got} is not {expected}");
    }
    assert_near(with.params(), without.params(), 1e-4);
}

/// Checkpointed pieces cannot be recorded, but are trained all the same.
#[test]
#[ignore = "needs a GPU"]
fn checkpointed_steps_are_the_steps() {
    let (_turn, device) = gpu();
    let nets = [(); 2].map(|()| net_on(device, Some(3), 0.0, 5));
    let with = TrainConfig { checkpoint_activations: true, ..numbers() };
    let [mut without, mut with] = [trainer(&nets[0], &numbers(), 5), trainer(&nets[1], &with, 5)];
    let expected = queue_all(&mut without, &nets[0]);
    let pass = unet::Pass::train().with_checkpoints(true);
    let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, trainer::BoxError> {
        Ok(nets[1].forward(x_t, t, labels, &pass)?)
    };
    for (step, expected) in (0..STEPS).zip(expected) {
        let queued = with.queue_step(step, &batch(step), &model).unwrap();
        let got = with.finish_step(queued).unwrap().loss;
        assert!((got - expected).abs() < 1e-3 * expected, "{got} is not {expected}");
    }
}

/// The steps after a bad one are recorded steps that start from the state before it.
#[test]
#[ignore = "needs a GPU"]
fn a_step_that_is_not_finite_changes_nothing() {
    let (_turn, device) = gpu();
    let run = |steps: &[(u64, bool)]| {
        let net = net_on(device, Some(3), 0.0, 5);
        let mut trainer = trainer(&net, &numbers(), 5);
        let queued: Vec<Queued> = steps
            .iter()
            .map(|&(step, fine)| {
                let of_step = batch(step);
                let images = if fine { of_step.images } else { of_step.images * f64::NAN };
                trainer.queue_step(step, &Batch { images, ..batch(step) }, &model(&net)).unwrap()
            })
            .collect();
        let failed: Vec<u64> = queued
            .into_iter()
            .filter_map(|queued| match trainer.finish_step(queued) {
                Err(TrainerError::NonFinite { step, .. }) => Some(step),
                other => other.map(|_| None).unwrap(),
            })
            .collect();
        (failed, trainer)
    };
    let bad = [2, 7, 8];
    let all: Vec<(u64, bool)> = (0..STEPS).map(|step| (step, !bad.contains(&step))).collect();
    let good: Vec<(u64, bool)> = all.iter().copied().filter(|(_, fine)| *fine).collect();
    let ((failed, with), (none, without)) = (run(&all), run(&good));
    assert_eq!((failed, none), (bad.to_vec(), Vec::new()));
    assert_near(with.params(), without.params(), 1e-5);
    assert_near(with.ema_weights(), without.ema_weights(), 1e-5);
}

#[test]
#[ignore = "needs a GPU"]
fn a_whole_run_saves_and_goes_on() {
    let (_turn, device) = gpu();
    let numbers = |steps| TrainConfig {
        steps,
        batch: 6,
        log_every: 3,
        checkpoint_every: 4,
        on_nan: OnNan::Rollback,
        ..numbers()
    };
    let run = |path: &std::path::Path, steps| {
        let folder = RunFolder::open(path).unwrap();
        let net = net_on(device, Some(3), 0.0, 5);
        let mut trainer = trainer(&net, &numbers(steps), 5);
        let stop = AtomicBool::new(false);
        let fit = Fit { folder: &folder, config: "", stop: &stop };
        let interval = fit.resume(&mut trainer).unwrap().unwrap_or_default();
        let outcome = fit.run(&mut trainer, interval, |step| Ok(batch(step)), &model(&net), &mut Silent);
        assert_eq!((outcome.unwrap(), trainer.steps_done()), (Outcome::Finished, steps));
        trainer
    };
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(whole.path(), STEPS);
    drop(run(parts.path(), 5));
    let got = run(parts.path(), STEPS);
    assert_near(got.params(), expected.params(), 1e-3);
    assert_near(got.ema_weights(), expected.ema_weights(), 1e-3);
}
