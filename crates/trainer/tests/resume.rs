//! A run that was stopped or died, and was restarted, equals the run that never stopped: every record and every byte of
//! its last checkpoint, with dropout, label dropout and averaging on.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use dataset::{BatchPlan, Dataset};
use ndarray::Array4;
use support::{conditional_net, config, model, trainer};
use tensor_io::Named;
use trainer::{
    Batch, BoxError, Fit, Observer, Outcome, Record, RunFolder, StepReport, TrainConfig, TrainerError,
    list_checkpoints,
};

const STEPS: u64 = 9;
const CLASSES: usize = 3;

/// Dropout uses libtorch's global generator, so only one run of this process may train at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How a part of a run ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// After its last step.
    Whole,
    /// Asked to stop during this step.
    Stop(u64),
    /// Killed before this step: nothing is saved.
    Crash(u64),
}

fn numbers() -> TrainConfig {
    // Log lines and checkpoints fall on different steps, so that a partial log interval is resumed too.
    let numbers = TrainConfig { batch: 6, flip: true, label_dropout: 0.4, ..config(STEPS) };
    TrainConfig { log_every: 4, checkpoint_every: 3, ..numbers }
}

fn images() -> Dataset {
    let pixel = |(n, y, x, _): (usize, usize, usize, usize)| (n * 31 + y * y * 7 + x * 13) as u8;
    let labels = (0..20).map(|n| n % CLASSES as u32).collect();
    Dataset::from_array(Array4::from_shape_fn((20, 8, 8, 1), pixel), Some(labels)).unwrap()
}

/// The images and labels of a step.
fn batch(data: &Dataset, plan: &BatchPlan, step: u64) -> Batch {
    let batch = plan.batch(data, step).unwrap();
    let labels = batch.labels.map(|labels| tch::Tensor::from_slice(&labels));
    Batch { images: tensor_io::from_array(&batch.images.view().into_dyn()).unwrap(), labels }
}

/// Sets the stop flag during a step, as a signal handler would.
struct StopAt<'a>(Option<u64>, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn on_step(&mut self, done: u64, _: &StepReport) {
        if self.0 == Some(done) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// One process's part of a run: a new network and trainer that only have the folder.
fn part(path: &Path, end: End) {
    let folder = RunFolder::open(path).unwrap();
    let net = conditional_net(Some(CLASSES), 0.3, 5);
    let mut trainer = trainer(&net, &numbers(), 5);
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "seed = 5\n", stop: &stop };
    let interval = fit.resume(&mut trainer).unwrap().unwrap_or_default();

    let data = images();
    let plan = BatchPlan::new(data.len(), 6, 5).unwrap().with_flip(true);
    let next = |step| -> Result<Batch, BoxError> {
        if matches!(end, End::Crash(at) if at == step) {
            Err("killed".into())
        } else {
            Ok(batch(&data, &plan, step))
        }
    };
    let mut observer = StopAt(if let End::Stop(at) = end { Some(at) } else { None }, &stop);
    let outcome = fit.run(&mut trainer, interval, next, &model(&net), &mut observer);
    match end {
        End::Whole => assert_eq!(outcome.unwrap(), Outcome::Finished),
        End::Stop(at) => {
            assert_eq!((outcome.unwrap(), trainer.steps_done()), (Outcome::Stopped, at));
        }
        End::Crash(_) => assert!(matches!(outcome, Err(TrainerError::Caller(_)))),
    }
}

/// The result of a finished run: its records without the speed, and the files of its last checkpoint.
fn outcome(path: &Path) -> (Vec<Record>, BTreeMap<String, Vec<u8>>) {
    let mut records = RunFolder::read_metrics(path).unwrap();
    records.iter_mut().for_each(|record| record.images_per_s = 0.0);
    let (step, last) = list_checkpoints(&path.join("checkpoints")).unwrap().pop().unwrap();
    assert_eq!(step, STEPS);
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    (records, fs::read_dir(last).unwrap().map(|entry| file(entry.unwrap())).collect())
}

fn run(parts: &[End]) -> (Vec<Record>, BTreeMap<String, Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    parts.iter().for_each(|&end| part(&path, end));
    outcome(&path)
}

#[test]
fn an_interrupted_run_is_the_same_run() {
    let _alone = alone();
    let whole = run(&[End::Whole]);
    assert_eq!(whole.0.iter().map(|record| record.step).collect::<Vec<_>>(), [4, 8, 9]);
    assert_eq!(whole.1.len(), 6, "{:?}", whole.1.keys());
    let ways: &[&[End]] = &[
        &[End::Stop(1), End::Whole],
        &[End::Stop(3), End::Whole],
        &[End::Stop(4), End::Whole],
        &[End::Stop(8), End::Whole],
        &[End::Stop(2), End::Stop(7), End::Whole],
        // After a crash the steps since the last checkpoint run again, and are logged once.
        &[End::Crash(2), End::Whole],
        &[End::Crash(5), End::Whole],
        &[End::Stop(4), End::Crash(8), End::Whole],
    ];
    for way in ways {
        let got = run(way);
        assert_eq!(got.0, whole.0, "the records of {way:?}");
        for (name, bytes) in &whole.1 {
            assert!(got.1[name] == *bytes, "{name} of {way:?} differs");
        }
    }
}

/// Without this, the test above would also pass if nothing depended on dropout, labels or the order of the images.
#[test]
fn dropout_labels_and_the_order_of_images_matter() {
    let _alone = alone();
    let loss = |dropout: f64, label_dropout: f64, first: u64| {
        let net = conditional_net(Some(CLASSES), dropout, 5);
        let mut trainer = trainer(&net, &TrainConfig { label_dropout, ..numbers() }, 5);
        let data = images();
        let plan = BatchPlan::new(data.len(), 6, 5).unwrap();
        let steps = (first..first + 3)
            .map(|step| trainer.train_step(&batch(&data, &plan, step), &model(&net)).unwrap().loss);
        steps.last().unwrap()
    };
    assert_eq!(loss(0.3, 0.4, 0), loss(0.3, 0.4, 0));
    assert_ne!(loss(0.3, 0.4, 0), loss(0.0, 0.4, 0));
    assert_ne!(loss(0.3, 0.4, 0), loss(0.3, 0.0, 0));
    assert_ne!(loss(0.3, 0.4, 0), loss(0.3, 0.4, 1));
}

/// The draws for labels affect no other draw: without labels a run is unchanged.
#[test]
fn label_dropout_changes_nothing_without_labels() {
    let _alone = alone();
    let report = |label_dropout: f64| {
        let net = conditional_net(None, 0.3, 5);
        let mut trainer = trainer(&net, &TrainConfig { label_dropout, ..numbers() }, 5);
        let (data, plan) = (images(), BatchPlan::new(20, 6, 5).unwrap());
        let mut step = |step| {
            let batch = Batch { labels: None, ..batch(&data, &plan, step) };
            trainer.train_step(&batch, &model(&net)).unwrap()
        };
        [step(0), step(1)]
    };
    assert_eq!(report(0.0), report(0.5));
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), End::Whole);
    let before = outcome(folder.path());
    part(folder.path(), End::Whole);
    assert_eq!(outcome(folder.path()), before);
}

/// Draws nothing, but records when samples were requested; dies at the first request for one step.
struct Grids<'a> {
    drawn: &'a mut Vec<u64>,
    dies_at: Option<u64>,
}

impl Observer for Grids<'_> {
    fn on_sample(&mut self, done: u64, _: &[Named]) -> Result<(), BoxError> {
        if self.dies_at == Some(done) {
            return Err("killed".into());
        }
        self.drawn.push(done);
        Ok(())
    }

    fn has_samples(&self, done: u64) -> bool {
        self.drawn.contains(&done)
    }
}

#[test]
fn a_run_killed_after_a_checkpoint_draws_the_samples_of_its_step_later() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (data, mut drawn) = (images(), Vec::new());
    // Each kill comes between the checkpoint of a step and its samples; the last part has nothing left to do.
    for dies_at in [Some(3), Some(STEPS), None, None] {
        let folder = RunFolder::open(folder.path()).unwrap();
        let net = conditional_net(Some(CLASSES), 0.0, 5);
        let mut trainer = trainer(&net, &TrainConfig { sample_every: 3, ..numbers() }, 5);
        let fit = Fit { folder: &folder, config: "", stop: &AtomicBool::new(false) };
        let interval = fit.resume(&mut trainer).unwrap().unwrap_or_default();
        let plan = BatchPlan::new(data.len(), 6, 5).unwrap();
        let mut observer = Grids { drawn: &mut drawn, dies_at };
        let next = |step| Ok(batch(&data, &plan, step));
        let outcome = fit.run(&mut trainer, interval, next, &model(&net), &mut observer);
        assert_eq!(outcome.is_err(), dies_at.is_some());
    }
    assert_eq!(drawn, [3, 6, STEPS]);
}
