//! Whole runs: rank 0 writes, the others follow, and the number of ranks may change in between.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{OnNan, Optimizer};
use tempfile::tempdir;
use trainer::{
    Batch, BoxError, Fit, Follow, Observer, Outcome, Reduce, Reduction, RunFolder, StepReport, TrainConfig,
    TrainerError, latest_checkpoint,
};

use crate::support::{Silent, config, model};
use crate::threads::{joined, on_ranks, rank_trainer, share};

/// Asks for a stop after some step.
struct StopAt<'a>(Option<u64>, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn on_step(&mut self, done: u64, _: &StepReport) {
        if Some(done) == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// How a rank ended: its outcome, the steps done and the hash of its weights.
pub(crate) type Ended = (Result<Outcome, String>, u64, u64);

/// Runs `size` ranks in a folder; `stop` is a rank and the step after which it asks for a stop.
fn run(folder: &Path, size: usize, config: &TrainConfig, stop: Option<(usize, u64)>) -> Vec<Ended> {
    run_with(folder, (size, false), config, stop, None)
}

/// The same; the ranks may divide the state of Adam, and `broken` is a rank and the step (from 0) whose images are not finite.
pub(crate) fn run_with(
    folder: &Path,
    (size, divides): (usize, bool),
    config: &TrainConfig,
    stop: Option<(usize, u64)>,
    broken: Option<(usize, u64)>,
) -> Vec<Ended> {
    on_ranks(size, |ranks| {
        let rank = ranks.rank();
        let flag = AtomicBool::new(false);
        let (net, mut trainer) = joined(ranks, config, Reduction::default(), divides);
        let images = |step| -> Result<Batch, BoxError> {
            let batch = share(step, rank, size);
            let factor = if broken == Some((rank, step)) { f64::NAN } else { 1.0 };
            Ok(Batch { images: batch.images * factor, ..batch })
        };
        let mut observer = StopAt(stop.filter(|(of, _)| *of == rank).map(|(_, step)| step), &flag);
        let outcome = if rank == 0 {
            let folder = RunFolder::open(folder).unwrap();
            let fit = Fit { folder: &folder, config: "", stop: &flag };
            let resumed = fit.resume(&mut trainer).unwrap();
            let interval = trainer.share_state(resumed).unwrap().unwrap_or_default();
            fit.run(&mut trainer, interval, images, &model(&net), &mut observer)
        } else {
            trainer.share_state(None).unwrap();
            Follow { stop: &flag }.run(&mut trainer, images, &model(&net), &mut observer)
        };
        let hash = trainer.weights_hash().unwrap();
        (outcome.map_err(|error| error.to_string()), trainer.steps_done(), hash)
    })
}

pub(crate) fn of_run() -> TrainConfig {
    TrainConfig { checkpoint_every: 4, sample_every: 3, log_every: 2, ..config(10) }
}

fn records(folder: &Path) -> Vec<u64> {
    RunFolder::read_metrics(folder).unwrap().iter().map(|record| record.step).collect()
}

#[test]
fn a_stop_on_any_rank_stops_all_and_the_run_continues_bit_for_bit() {
    continues_after_stops(&of_run());
}

#[test]
fn so_it_does_with_muon() {
    continues_after_stops(&TrainConfig { optimizer: Optimizer::Muon, ..of_run() });
}

fn continues_after_stops(config: &TrainConfig) {
    let (whole, parts) = (tempdir().unwrap(), tempdir().unwrap());
    let undisturbed = run(whole.path(), 2, config, None);
    assert!(undisturbed.iter().all(|rank| (&rank.0, rank.1) == (&Ok(Outcome::Finished), 10)));
    assert!(undisturbed[0].2 == undisturbed[1].2);

    for (rank, step) in [(1, 3), (0, 7)] {
        let stopped = run(parts.path(), 2, config, Some((rank, step)));
        assert!(stopped.iter().all(|rank| (&rank.0, rank.1) == (&Ok(Outcome::Stopped), step)), "{stopped:?}");
        let (latest, refused) = latest_checkpoint(&parts.path().join("checkpoints")).unwrap();
        assert_eq!((latest.unwrap().state.step, refused.len()), (step, 0));
    }
    assert_eq!(run(parts.path(), 2, config, None), undisturbed);
    assert_eq!(records(parts.path()), records(whole.path()));
}

#[test]
fn a_run_continues_with_another_number_of_ranks() {
    let folder = tempdir().unwrap();
    for (size, step) in [(2, 3), (1, 5), (4, 8)] {
        let stopped = run(folder.path(), size, &of_run(), Some((size - 1, step)));
        assert!(stopped.iter().all(|rank| (&rank.0, rank.1) == (&Ok(Outcome::Stopped), step)), "{stopped:?}");
    }
    let finished = run(folder.path(), 2, &of_run(), None);
    assert!(finished.iter().all(|rank| (&rank.0, rank.1) == (&Ok(Outcome::Finished), 10)));
    assert_eq!(records(folder.path()), [2, 4, 6, 8, 10]);
    let losses = |folder: &Path| -> Vec<f64> {
        RunFolder::read_metrics(folder).unwrap().iter().map(|record| record.loss).collect()
    };
    let whole = tempdir().unwrap();
    run(whole.path(), 1, &of_run(), None);
    for (a, b) in losses(folder.path()).iter().zip(losses(whole.path())) {
        assert!((a / b - 1.0).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn a_step_that_is_not_finite_is_treated_alike_on_all_ranks() {
    let ends = |on_nan: OnNan, divides| {
        let (folder, config) = (tempdir().unwrap(), TrainConfig { on_nan, ..of_run() });
        let ends = run_with(folder.path(), (2, divides), &config, None, Some((1, 5)));
        let (latest, _) = latest_checkpoint(&folder.path().join("checkpoints")).unwrap();
        (ends, latest.unwrap().state)
    };
    for on_nan in [OnNan::Skip, OnNan::Rollback] {
        let (ends_whole, state) = ends(on_nan, false);
        let all = |rank: &Ended| (&rank.0, rank.1) == (&Ok(Outcome::Finished), 10);
        assert!(ends_whole.iter().all(all), "{ends_whole:?}");
        assert_eq!(ends_whole[0].2, ends_whole[1].2);
        assert_eq!(state.run.recovery.rollbacks, u32::from(on_nan == OnNan::Rollback));
        // A divided state goes back and on in the same way.
        assert_eq!(ends(on_nan, true), (ends_whole, state));
    }
    let (ends, state) = ends(OnNan::Stop, false);
    assert!(
        ends.iter().all(|rank| rank.0.as_ref().is_err_and(|text| text.contains("the loss is NaN at step 5")))
    );
    assert_eq!(state.step, 4);
}

/// Weights that differ, as after a fault of the hardware, are never saved.
#[test]
fn ranks_whose_weights_differ_do_not_save() {
    let folder = tempdir().unwrap();
    let errors = on_ranks(2, |ranks| {
        let (rank, flag) = (ranks.rank(), AtomicBool::new(false));
        let (net, mut trainer) = rank_trainer(ranks, &of_run(), Reduction::default());
        if rank == 1 {
            let _ = trainer.params()[0].1.detach().neg_();
        }
        let images = |step| -> Result<Batch, BoxError> { Ok(share(step, rank, 2)) };
        if rank == 0 {
            let folder = RunFolder::open(folder.path()).unwrap();
            let fit = Fit { folder: &folder, config: "", stop: &flag };
            fit.run(&mut trainer, Default::default(), images, &model(&net), &mut Silent).unwrap_err()
        } else {
            Follow { stop: &flag }.run(&mut trainer, images, &model(&net), &mut Silent).unwrap_err()
        }
    });
    for error in &errors {
        assert!(matches!(error, TrainerError::RanksDiffer { rank: 1, step: 4 }), "{error}");
    }
    let (latest, refused) = latest_checkpoint(&folder.path().join("checkpoints")).unwrap();
    assert!(latest.is_none() && refused.is_empty());
}
