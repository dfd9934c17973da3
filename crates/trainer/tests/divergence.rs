//! A run that diverges stops within the step: no weight, no average and no checkpoint ever holds a NaN.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::sync::atomic::AtomicBool;

use support::{Silent, config, one_number, one_trainer, ring};
use tch::Tensor;
use tensor_io::Named;
use trainer::{
    BoxError, Fit, Interval, RunFolder, TrainConfig, TrainerError, latest_checkpoint, list_checkpoints,
};

/// The step in which things go wrong.
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

        // Neither is the optimiser's state harmed: the step can be done again, and is the one it would have been.
        let healed = step(&mut trainer, None).unwrap();
        assert!(healed.loss.is_finite() && values(&params)[0].is_finite());
    }
}

#[test]
fn a_run_that_diverges_leaves_sound_checkpoints_only() {
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
