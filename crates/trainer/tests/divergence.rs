//! A run that diverges stops within the step: no weight, average or checkpoint ever holds a NaN.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::sync::atomic::AtomicBool;

use support::{Silent, config, one_number, one_trainer, ring};
use tch::Tensor;
use tensor_io::Named;
use trainer::{
    BoxError, Fit, Interval, OnNan, Outcome, RunFolder, TrainConfig, TrainerError, latest_checkpoint,
    list_checkpoints,
};

/// The step that goes wrong.
const BAD: u64 = 5;

/// How a network goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The prediction is NaN.
    NanLoss,
    /// The prediction is so large that its square is not finite.
    InfiniteLoss,
    /// The loss is fine; its derivative is 0 times infinity.
    NanGradient,
}

fn predict(fault: Option<Fault>, w: &Tensor, x_t: &Tensor) -> Tensor {
    let eps = x_t * w;
    match fault {
        None => eps,
        Some(Fault::NanLoss) => eps * f64::NAN,
        Some(Fault::InfiniteLoss) => (eps + 1.0) * 1e30,
        Some(Fault::NanGradient) => eps + (w * 0.0).sqrt() * 0.0,
    }
}

fn values(named: &[Named]) -> Vec<f32> {
    named.iter().flat_map(|(_, tensor)| tensor_io::to_vec(&tensor.detach()).unwrap()).collect()
}

#[test]
fn a_step_that_diverges_changes_nothing() {
    for fault in [Fault::NanLoss, Fault::InfiniteLoss, Fault::NanGradient] {
        let params = one_number();
        let mut trainer = one_trainer(&params, &config(20));
        let w = params[0].1.shallow_clone();
        let step = |trainer: &mut trainer::Trainer, fault| {
            let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok(predict(fault, &w, x_t))
            };
            trainer.train_step(&ring(4), &model)
        };
        for _ in 0..BAD {
            step(&mut trainer, None).unwrap();
        }
        let before = (values(&params), values(trainer.ema_weights()));
        assert_ne!(before.0, [0.0], "it has learned something");
        match step(&mut trainer, Some(fault)) {
            Err(TrainerError::NonFinite { what, step, value, .. }) => {
                let by_gradient = matches!(fault, Fault::NanGradient);
                assert_eq!((what.contains("gradient"), step), (by_gradient, BAD));
                assert!(!value.is_finite());
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!((values(&params), values(trainer.ema_weights())), before, "{fault:?}");
        assert_eq!(trainer.steps_done(), BAD);

        // The optimiser's state is unharmed as well: repeating the step gives the normal result.
        let healed = step(&mut trainer, None).unwrap();
        assert!(healed.loss.is_finite() && values(&params)[0].is_finite());
    }
}

#[test]
fn a_run_that_diverges_leaves_only_valid_checkpoints() {
    for fault in [Fault::NanLoss, Fault::NanGradient] {
        let run = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(run.path()).unwrap();
        let params = one_number();
        let config = TrainConfig { batch: 4, log_every: 1, checkpoint_every: 2, ..config(20) };
        let mut trainer = one_trainer(&params, &config);
        let stop = AtomicBool::new(false);
        let fit = Fit { folder: &folder, config: "", stop: &stop };
        let w = params[0].1.shallow_clone();
        let calls = std::cell::Cell::new(0);
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            let step = calls.replace(calls.get() + 1);
            Ok(predict((step == BAD).then_some(fault), &w, x_t))
        };
        let error = fit.run(&mut trainer, Interval::default(), |_| Ok(ring(4)), &model, &mut Silent);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("diverged") && message.contains("train.lr"), "{message}");

        let checkpoints = folder.checkpoints();
        let steps: Vec<u64> =
            list_checkpoints(&checkpoints).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(steps, [2, 4]);
        let latest = latest_checkpoint(&checkpoints).unwrap().0.unwrap();
        for path in [latest.model_path(), latest.ema_path(), latest.path.join("optimizer.safetensors")] {
            for (name, tensor) in tensor_io::read(&path).unwrap() {
                assert_eq!(
                    i64::try_from(tensor.isfinite().all()).unwrap(),
                    1,
                    "{name} of {}",
                    path.display()
                );
            }
        }
        let records = RunFolder::read_metrics(run.path()).unwrap();
        assert_eq!(records.len() as u64, BAD);
        assert!(records.iter().all(|record| record.loss.is_finite() && record.grad_norm.is_finite()));
    }
}

/// Runs 20 steps with a checkpoint every 2; the steps in `bad` fail whenever they are tried.
fn run_with(on_nan: OnNan, bad: &[u64], path: &std::path::Path) -> Result<trainer::Trainer, TrainerError> {
    let folder = RunFolder::open(path)?;
    let params = one_number();
    let config = TrainConfig { batch: 4, log_every: 1, checkpoint_every: 2, on_nan, ..config(20) };
    let mut trainer = one_trainer(&params, &config);
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "", stop: &stop };
    let interval = fit.resume(&mut trainer)?.unwrap_or_default();
    let (w, step) = (params[0].1.shallow_clone(), std::cell::Cell::new(0));
    let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        Ok(predict(bad.contains(&step.get()).then_some(Fault::NanLoss), &w, x_t))
    };
    let batch = |of: u64| {
        step.set(of);
        Ok(ring(4))
    };
    assert_eq!(fit.run(&mut trainer, interval, batch, &model, &mut Silent)?, Outcome::Finished);
    Ok(trainer)
}

fn steps_logged(path: &std::path::Path) -> Vec<u64> {
    RunFolder::read_metrics(path).unwrap().iter().map(|record| record.step).collect()
}

#[test]
fn a_bad_step_is_skipped_and_its_number_stays_out_of_the_log() {
    let run = tempfile::tempdir().unwrap();
    let trainer = run_with(OnNan::Skip, &[5, 6, 19], run.path()).unwrap();
    assert_eq!(trainer.steps_done(), 20);
    assert_eq!((trainer.recovery().rollbacks, trainer.recovery().in_a_row), (0, 1));
    let expected: Vec<u64> = (1..=19).filter(|step| ![6, 7].contains(step)).collect();
    assert_eq!(steps_logged(run.path()), expected);
    assert!(values(trainer.params()).iter().chain(&values(trainer.ema_weights())).all(|x| x.is_finite()));
}

#[test]
fn a_run_that_only_skips_gives_up() {
    let run = tempfile::tempdir().unwrap();
    let bad: Vec<u64> = (4..20).collect();
    let error = run_with(OnNan::Skip, &bad, run.path()).err().unwrap();
    assert!(matches!(error, TrainerError::NonFinite { step: 14, .. }), "ten were skipped: {error}");
}

#[test]
fn a_rollback_halves_the_learning_rate_and_skips_the_step() {
    let run = tempfile::tempdir().unwrap();
    let trainer = run_with(OnNan::Rollback, &[5, 11], run.path()).unwrap();
    assert_eq!(trainer.recovery().rollbacks, 2);
    assert_eq!(trainer.recovery().passed_over.iter().copied().collect::<Vec<_>>(), [5, 11]);
    let records = RunFolder::read_metrics(run.path()).unwrap();
    let expected: Vec<u64> = (1..=20).filter(|step| ![6, 12].contains(step)).collect();
    assert_eq!(steps_logged(run.path()), expected, "each step is logged once");
    // Steps 1 to 4 ran before the rollback, step 5 again after it; the warm-up of five steps is over by then.
    let lr = |step: u64| records.iter().find(|record| record.step == step).unwrap().lr;
    assert_eq!((lr(10) / lr(13)).round(), 2.0);
    assert!(lr(10) < 0.51 * config(20).lr && lr(13) < 0.26 * config(20).lr);

    // Even in the very first step there is a checkpoint to go back to.
    let run = tempfile::tempdir().unwrap();
    assert_eq!(run_with(OnNan::Rollback, &[0], run.path()).unwrap().recovery().rollbacks, 1);
}

#[test]
fn a_run_that_only_goes_back_gives_up() {
    let run = tempfile::tempdir().unwrap();
    let bad: Vec<u64> = (8..20).collect();
    let error = run_with(OnNan::Rollback, &bad, run.path()).err().unwrap();
    assert!(matches!(error, TrainerError::NonFinite { step: 13, .. }), "five times back: {error}");
    // A restart from its checkpoint does the same and ends the same way.
    let again = run_with(OnNan::Rollback, &bad, run.path()).err().unwrap();
    assert_eq!(again.to_string(), error.to_string());
}
