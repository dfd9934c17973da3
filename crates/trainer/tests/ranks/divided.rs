//! With the state of Adam divided over the ranks, a run has the same bits and writes the same checkpoints.

use std::path::Path;

use tempfile::tempdir;
use trainer::{
    Checkpoint, Interval, Outcome, Reduce, Reduction, StepReport, TrainConfig, TrainerError,
    latest_checkpoint,
};

use crate::runs::{Ended, of_run, run_with};
use crate::support::{config, model};
use crate::threads::{joined, on_ranks, share};

/// The reports of some steps and the hash of the weights after each, on every rank.
fn steps(
    size: usize,
    config: &TrainConfig,
    reduction: Reduction,
    divides: bool,
) -> Vec<Vec<(StepReport, u64)>> {
    on_ranks(size, |ranks| {
        let rank = ranks.rank();
        let (net, mut trainer) = joined(ranks, config, reduction, divides);
        trainer.share_state(None).unwrap();
        let step = |step| {
            let report = trainer.train_step(&share(step, rank, size), &model(&net)).unwrap();
            (report, trainer.weights_hash().unwrap())
        };
        (0..4).map(step).collect()
    })
}

#[test]
fn every_step_has_the_same_bits() {
    let frozen = TrainConfig { freeze: vec!["conv_in.*".to_owned()], ..config(100) };
    let small = Reduction { bucket: 1000, bf16: true, ..Reduction::default() };
    for size in [2, 4] {
        for (config, reduction) in [(&config(100), Reduction::default()), (&frozen, small)] {
            let whole = steps(size, config, reduction, false);
            assert_ne!(whole[0][0].1, whole[0][3].1);
            assert_eq!(steps(size, config, reduction, true), whole, "{size} ranks, {reduction:?}");
        }
    }
}

/// The tensors of a checkpoint as bytes.
fn tensors(run: &Path, step: u64) -> Vec<Vec<u8>> {
    let folder = run.join(format!("checkpoints/step-{step:08}"));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    ["model.safetensors", "ema.safetensors", "optimizer.safetensors"].map(read).into()
}

/// Trains in pieces, each by a number of ranks up to a step, and returns the ends of all.
fn in_pieces(folder: &Path, pieces: [(usize, bool, u64); 4]) -> Vec<Vec<Ended>> {
    let piece = |(size, divides, end): (usize, bool, u64)| {
        let stop = (end < 10).then_some((size - 1, end));
        run_with(folder, (size, divides), &of_run(), stop, None)
    };
    pieces.into_iter().map(piece).collect()
}

#[test]
fn runs_change_the_mode_and_the_number_of_ranks_and_keep_their_bits() {
    for sizes in [[2, 2, 2, 2], [4, 4, 4, 4], [2, 1, 4, 2]] {
        let with = |folder: &Path, divides: [bool; 4]| {
            let ends = [3, 5, 8, 10];
            in_pieces(folder, std::array::from_fn(|piece| (sizes[piece], divides[piece], ends[piece])))
        };
        let whole = tempdir().unwrap();
        let expected = with(whole.path(), [false; 4]);
        assert!(expected.last().unwrap().iter().all(|rank| rank.0 == Ok(Outcome::Finished)), "{expected:?}");
        for divides in [[true; 4], [true, false, true, false], [false, true, false, true]] {
            let folder = tempdir().unwrap();
            assert_eq!(with(folder.path(), divides), expected, "{sizes:?}, {divides:?}");
            assert!(tensors(folder.path(), 10) == tensors(whole.path(), 10), "{sizes:?}, {divides:?}");
        }
    }
}

/// A program may restore before it joins.
#[test]
fn a_state_from_before_is_divided() {
    let folder = tempdir().unwrap();
    run_with(folder.path(), (2, false), &of_run(), Some((0, 4)), None);
    let (latest, _) = latest_checkpoint(&folder.path().join("checkpoints")).unwrap();
    let saved = latest.unwrap();
    let hashes = |divides: bool| {
        on_ranks(2, |ranks| {
            let rank = ranks.rank();
            let net = crate::support::conditional_net(Some(4), 0.0, 1);
            let mut trainer = crate::support::trainer(&net, &of_run(), 7);
            if rank == 0 {
                saved.restore(&mut trainer).unwrap();
            }
            trainer.join(ranks, Reduction::default()).unwrap();
            if divides {
                trainer.divide_state().unwrap();
            }
            trainer.share_state(None).unwrap();
            trainer.train_step(&share(4, rank, 2), &model(&net)).unwrap();
            (trainer.steps_done(), trainer.weights_hash().unwrap())
        })
    };
    let whole = hashes(false);
    assert_eq!((whole[0].0, whole[0]), (5, whole[1]));
    assert_eq!(hashes(true), whole);
}

#[test]
fn all_ranks_divide_or_none() {
    let errors = on_ranks(4, |ranks| {
        let divides = ranks.rank() != 2;
        let (_, mut trainer) = joined(ranks, &config(10), Reduction::default(), divides);
        trainer.share_state(None).unwrap_err()
    });
    for error in errors {
        assert!(matches!(error, TrainerError::DividedOnSome { rank: 2 }), "{error}");
    }
}

#[test]
fn each_rank_has_a_share_and_cannot_save_it_alone() {
    let folder = tempdir().unwrap();
    let write = |trainer: &trainer::Trainer| {
        Checkpoint::write(folder.path(), trainer, &Interval::default(), "").map(drop)
    };
    let shares = on_ranks(4, |ranks| {
        let rank = ranks.rank();
        let (_, mut trainer) = joined(ranks, &config(10), Reduction::default(), true);
        trainer.share_state(None).unwrap();
        // Only rank 0 has averages.
        assert_eq!(trainer.ema_weights().is_empty(), rank > 0);
        let refused = write(&trainer).unwrap_err();
        assert!(matches!(refused, TrainerError::DividedState), "{refused}");
        let numbers: Vec<usize> = trainer.params().iter().map(|(_, param)| param.numel()).collect();
        (trainer.divided_bytes().unwrap(), numbers)
    });
    for ((most, all), numbers) in shares {
        let (total, largest) = (numbers.iter().sum::<usize>(), numbers.iter().max().unwrap());
        assert_eq!(all, 8 * total);
        assert!(most >= all / 4 && most <= all / 4 + 8 * largest, "{most} of {all}");
    }
    let alone = on_ranks(1, |ranks| {
        let (_, trainer) = joined(ranks, &config(10), Reduction::default(), true);
        (trainer.divided_bytes(), write(&trainer).is_ok())
    });
    assert_eq!(alone, [(None, true)]);
}
