//! A run that was stopped, or died, and was started again is the run that never stopped: every record and
//! every byte of its last checkpoint, with dropout and averaging on.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use dataset::{BatchPlan, Dataset};
use ndarray::Array4;
use support::{config, model, tiny_net, trainer};
use trainer::{
    Batch, BoxError, Fit, Observer, Outcome, Record, RunFolder, StepReport, TrainConfig, TrainerError,
    list_checkpoints,
};

const STEPS: u64 = 9;

/// Dropout draws from libtorch's one generator, so only one run of this process may go on at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How a part of a run ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With its last step.
    Whole,
    /// Asked to stop during this step.
    Stop(u64),
    /// Killed before this step: nothing is saved.
    Crash(u64),
}

fn numbers() -> TrainConfig {
    // Log lines and checkpoints fall on different steps, so that a half-filled line is resumed too.
    TrainConfig { batch: 6, flip: true, log_every: 4, checkpoint_every: 3, ..config(STEPS) }
}

fn images() -> Dataset {
    let pixel = |(n, y, x, _): (usize, usize, usize, usize)| (n * 31 + y * y * 7 + x * 13) as u8;
    Dataset::from_array(Array4::from_shape_fn((20, 8, 8, 1), pixel), None).unwrap()
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

/// One process's part of a run: a new network and trainer that know only the folder.
fn part(path: &Path, end: End) {
    let folder = RunFolder::open(path).unwrap();
    let net = tiny_net(0.3, 5);
    let mut trainer = trainer(&net, &numbers(), 5);
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "seed = 5\n", stop: &stop };
    let interval = fit.resume(&mut trainer).unwrap().unwrap_or_default();

    let data = images();
    let plan = BatchPlan::new(data.len(), 6, 5).unwrap().with_flip(true);
    let batch = |step| -> Result<Batch, BoxError> {
        if matches!(end, End::Crash(at) if at == step) {
            return Err("killed".into());
        }
        let images = plan.batch(&data, step)?.images;
        Ok(Batch { images: tensor_io::from_array(&images.view().into_dyn())?, labels: None })
    };
    let mut observer = StopAt(if let End::Stop(at) = end { Some(at) } else { None }, &stop);
    let outcome = fit.run(&mut trainer, interval, batch, &model(&net), &mut observer);
    match end {
        End::Whole => assert_eq!(outcome.unwrap(), Outcome::Finished),
        End::Stop(at) => {
            assert_eq!((outcome.unwrap(), trainer.steps_done()), (Outcome::Stopped, at));
        }
        End::Crash(_) => assert!(matches!(outcome, Err(TrainerError::Caller(_)))),
    }
}

/// What a finished run leaves: its records without the speed, and the files of its last checkpoint.
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
        // After a crash the steps since the last checkpoint are done again, and logged once.
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

/// The test above would also pass if nothing in a run depended on dropout or on the order of the images.
#[test]
fn dropout_and_the_order_of_images_matter() {
    let _alone = alone();
    let loss = |dropout: f64, first: u64| {
        let net = tiny_net(dropout, 5);
        let mut trainer = trainer(&net, &numbers(), 5);
        let data = images();
        let plan = BatchPlan::new(data.len(), 6, 5).unwrap();
        let steps = (first..first + 3).map(|step| {
            let images = plan.batch(&data, step).unwrap().images;
            let images = tensor_io::from_array(&images.view().into_dyn()).unwrap();
            trainer.train_step(&Batch { images, labels: None }, &model(&net)).unwrap().loss
        });
        steps.last().unwrap()
    };
    assert_eq!(loss(0.3, 0), loss(0.3, 0));
    assert_ne!(loss(0.3, 0), loss(0.0, 0));
    assert_ne!(loss(0.3, 0), loss(0.3, 1));
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
