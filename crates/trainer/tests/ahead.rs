//! Queued steps equal waited steps: the same numbers up to rounding, the same checkpoints, the same handling of values
//! that are not finite. These tests run on the CPU, where a queued step runs at once; `gpu.rs` does the same for
//! recorded steps.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{Silent, conditional_net, config, model, one_number, one_trainer, ring, trainer};
use tch::Tensor;
use tensor_io::Named;
use trainer::{
    Batch, BoxError, Fit, Observer, OnNan, Optimizer, Outcome, Record, RunFolder, StepReport, TrainConfig,
    Trainer, TrainerError, list_checkpoints,
};

const STEPS: u64 = 20;

/// Each step seeds the process's generator, which dropout uses, so tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labelled(count: i64) -> Batch {
    let labels = Tensor::arange(count, (tch::Kind::Int64, tch::Device::Cpu)).remainder(3);
    Batch { labels: Some(labels), ..ring(count) }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs().max(1e-3)
}

fn assert_near(got: &[Named], expected: &[Named]) {
    assert_within(1e-5, got, expected);
}

fn assert_within(by: f64, got: &[Named], expected: &[Named]) {
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        let apart = f64::try_from((got - expected).norm()).unwrap();
        let size = f64::try_from(expected.norm()).unwrap();
        assert!(apart <= by * size.max(1e-3), "{name}: {apart} of {size}");
    }
}

#[test]
fn a_queued_step_is_the_step() {
    let _turn = alone();
    for micro_batch in [0, 3] {
        // With a small eps, a gradient that is only rounding error would give as long a step as any other.
        let numbers = TrainConfig {
            micro_batch,
            adam_eps: 0.1,
            label_dropout: 0.4,
            weight_decay: 0.1,
            ..config(STEPS)
        };
        agrees(&numbers, STEPS, 1e-5);
    }
}

/// The momentum of a direction of little gradient is mostly rounding, and Muon makes it as long as any other, so few steps
/// and a wider limit.
#[test]
fn so_it_is_with_muon() {
    let _turn = alone();
    let numbers = TrainConfig { optimizer: Optimizer::Muon, weight_decay: 0.1, ..config(STEPS) };
    agrees(&numbers, 3, 1e-3);
}

/// The losses and norms agree, and at the end the weights within `by`.
fn agrees(numbers: &TrainConfig, steps: u64, by: f64) {
    let nets = [0, 1].map(|_| conditional_net(Some(3), 0.2, 5));
    let [mut waits, mut ahead] = nets.each_ref().map(|net| trainer(net, numbers, 5));
    assert!(!waits.works_ahead());
    for step in 0..steps {
        let expected = waits.train_step(&labelled(7), &model(&nets[0])).unwrap();
        let queued = ahead.queue_step(step, &labelled(7), &model(&nets[1])).unwrap();
        let got = ahead.finish_step(queued).unwrap();
        assert_eq!((got.lr, &got.t, got.losses.len()), (expected.lr, &expected.t, 7));
        let apart = format!("{got:?} is not {expected:?}");
        assert!(near(got.loss, expected.loss) && near(got.grad_norm, expected.grad_norm), "{apart}");
    }
    assert!(ahead.works_ahead() && ahead.steps_done() == steps);
    assert_within(by, ahead.params(), waits.params());
    assert_within(by, ahead.ema_weights(), waits.ema_weights());
}

/// The CPU records nothing, so steps that must not be recorded are those of [`Trainer::work_ahead`].
#[test]
fn steps_can_be_queued_without_a_recording() {
    let _turn = alone();
    let run = |recorded: bool| {
        let net = conditional_net(Some(3), 0.2, 5);
        let mut trainer = trainer(&net, &config(STEPS), 5);
        let set = if recorded { trainer.work_ahead(true) } else { trainer.work_unrecorded() };
        set.unwrap();
        assert!(trainer.works_ahead() && !trainer.is_recorded());
        let queue = |step: u64| {
            let queued = trainer.queue_step(step, &labelled(7), &model(&net)).unwrap();
            trainer.finish_step(queued).unwrap()
        };
        let reports: Vec<StepReport> = (0..6).map(queue).collect();
        assert!(trainer.works_ahead() && !trainer.is_recorded());
        reports
    };
    let (with, without) = (run(true), run(false));
    assert!(with.iter().all(|report| report.loss > 0.0) && with[0].loss != with[5].loss, "{with:?}");
    for (got, expected) in without.iter().zip(&with) {
        assert!(
            near(got.loss, expected.loss) && near(got.grad_norm, expected.grad_norm),
            "{got:?} {expected:?}"
        );
    }
}

/// `w x_t`, or NaN.
fn predict(fine: bool, w: &Tensor, x_t: &Tensor) -> Tensor {
    if fine { x_t * w } else { x_t * w * f64::NAN }
}

/// The host has not seen the bad step when the next one starts; yet that one starts from the state before it.
#[test]
fn a_step_that_is_not_finite_changes_nothing_of_those_queued_after_it() {
    let _turn = alone();
    let run = |steps: &[(u64, bool)]| {
        let params = one_number();
        let w = params[0].1.shallow_clone();
        let mut trainer = one_trainer(&params, &config(STEPS));
        let queue = |&(step, fine): &(u64, bool)| {
            let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok(predict(fine, &w, x_t))
            };
            trainer.queue_step(step, &ring(4), &model).unwrap()
        };
        let queued: Vec<_> = steps.iter().map(queue).collect();
        let reports: Vec<_> = queued.into_iter().map(|queued| trainer.finish_step(queued)).collect();
        let value = f64::try_from(&params[0].1.detach()).unwrap();
        (reports, value, f64::try_from(&trainer.ema_weights()[0].1).unwrap())
    };
    let (reports, w, average) = run(&[(0, true), (1, false), (2, true)]);
    assert!(matches!(reports[1], Err(TrainerError::NonFinite { step: 1, .. })), "{:?}", reports[1]);
    let (expected, expected_w, expected_average) = run(&[(0, true), (2, true)]);
    assert_eq!((w, average), (expected_w, expected_average));
    assert_ne!(w, 0.0);
    let losses = |reports: &[Result<StepReport, TrainerError>]| {
        reports.iter().flatten().map(|report| report.loss).collect::<Vec<_>>()
    };
    assert_eq!(losses(&reports), losses(&expected));
}

/// A run with one parameter; the steps in `bad` are NaN whenever they are tried.
struct Run<'a> {
    ahead: bool,
    on_nan: OnNan,
    bad: &'a [u64],
}

impl Run<'_> {
    fn go(
        &self,
        path: &Path,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<(Outcome, Trainer), TrainerError> {
        let folder = RunFolder::open(path)?;
        let params = one_number();
        let numbers = TrainConfig {
            batch: 4,
            log_every: 2,
            checkpoint_every: 6,
            keep_checkpoints: 9,
            on_nan: self.on_nan,
            ..config(STEPS)
        };
        let mut trainer = one_trainer(&params, &numbers);
        trainer.work_ahead(self.ahead)?;
        let fit = Fit { folder: &folder, config: "", stop };
        let interval = fit.resume(&mut trainer)?.unwrap_or_default();
        let (w, step) = (params[0].1.shallow_clone(), Cell::new(0));
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(predict(!self.bad.contains(&step.get()), &w, x_t))
        };
        let batch = |of: u64| {
            step.set(of);
            Ok(ring(4))
        };
        let outcome = fit.run(&mut trainer, interval, batch, &model, observer)?;
        Ok((outcome, trainer))
    }
}

fn records(path: &Path) -> Vec<Record> {
    RunFolder::read_metrics(path).unwrap()
}

fn checkpoints(path: &Path) -> Vec<u64> {
    list_checkpoints(&path.join("checkpoints")).unwrap().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn whole_runs_are_alike_whatever_is_not_finite() {
    let _turn = alone();
    for (on_nan, bad) in [
        (OnNan::Stop, &[][..]),
        (OnNan::Skip, &[5]),
        (OnNan::Skip, &[0, 6, 7, 19]),
        (OnNan::Rollback, &[8]),
        (OnNan::Rollback, &[7, 13]),
    ] {
        let [waits, ahead] = [false, true].map(|ahead| {
            let folder = tempfile::tempdir().unwrap();
            let run = Run { ahead, on_nan, bad };
            let (outcome, trainer) = run.go(folder.path(), &AtomicBool::new(false), &mut Silent).unwrap();
            assert_eq!((outcome, trainer.steps_done()), (Outcome::Finished, STEPS));
            (trainer, records(folder.path()), checkpoints(folder.path()))
        });
        assert_eq!(ahead.0.recovery(), waits.0.recovery(), "{bad:?}");
        assert_eq!(ahead.2, waits.2, "{bad:?}");
        assert_near(ahead.0.params(), waits.0.params());
        assert_near(ahead.0.ema_weights(), waits.0.ema_weights());
        assert_eq!(ahead.1.len(), waits.1.len(), "{bad:?}");
        for (got, expected) in ahead.1.iter().zip(&waits.1) {
            assert_eq!((got.step, got.lr), (expected.step, expected.lr));
            assert!(near(got.loss, expected.loss), "{bad:?}: {got:?} is not {expected:?}");
        }
    }
}

#[test]
fn a_run_that_ends_for_nan_has_saved_nothing_of_it() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = Run { ahead: true, on_nan: OnNan::Stop, bad: &[9] };
    let error = run.go(folder.path(), &AtomicBool::new(false), &mut Silent).err().unwrap();
    assert!(matches!(error, TrainerError::NonFinite { step: 9, .. }), "{error}");
    assert_eq!(checkpoints(folder.path()), [6]);
    assert_eq!(records(folder.path()).iter().map(|record| record.step).collect::<Vec<_>>(), [2, 4, 6, 8]);
}

/// Requests a stop after a step.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn on_step(&mut self, done: u64, _: &StepReport) {
        if done == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// A step that is running when the stop is requested is part of the saved run.
#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let _turn = alone();
    let whole = tempfile::tempdir().unwrap();
    let run = Run { ahead: true, on_nan: OnNan::Skip, bad: &[10] };
    let (_, expected) = run.go(whole.path(), &AtomicBool::new(false), &mut Silent).unwrap();
    for at in [1, 5, 6, 9, 10, 18] {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let (outcome, stopped) = run.go(folder.path(), &stop, &mut StopAfter(at, &stop)).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
        let done = stopped.steps_done();
        assert!((at..=at + 2).contains(&done), "asked after {at}, stopped after {done}");
        assert_eq!(checkpoints(folder.path()).last(), Some(&done));
        drop(stopped);
        let (_, resumed) = run.go(folder.path(), &AtomicBool::new(false), &mut Silent).unwrap();
        assert_near(resumed.params(), expected.params());
        let losses =
            |path: &Path| records(path).iter().map(|record| (record.step, record.loss)).collect::<Vec<_>>();
        for (got, expected) in losses(folder.path()).iter().zip(losses(whole.path())) {
            assert!(got.0 == expected.0 && near(got.1, expected.1), "{got:?} is not {expected:?}");
        }
    }
}
