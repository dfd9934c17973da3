//! Steps in which the backward passes of the ranks differ: in the order of gradients, in parameters that they do not use, and
//! in failures. Networks of a few numbers, each in a bucket of its own; the last one is summed first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tch::{Kind, Tensor};
use tensor_io::Named;
use torch_ext::{TorchExtError, checkpoint};
use trainer::{BoxError, Phase, Reduce, Reduction, TrainerError};

use crate::later::{Event, Later};
use crate::support::{config, one_trainer};
use crate::threads::{on_ranks, share};

/// Every parameter in a bucket of its own.
const ONE_BY_ONE: Reduction = Reduction { bucket: 1, bf16: false, overlap: true };

/// Three parameters of one number.
fn numbers() -> Vec<Named> {
    let leaf = |value: f32| Tensor::from_slice(&[value]).set_requires_grad(true);
    [0.5, 0.7, -0.4]
        .into_iter()
        .enumerate()
        .map(|(index, value)| (format!("w{index}"), leaf(value)))
        .collect()
}

/// A network: the output of a rank for its input and the parameters.
type Net<'a> = &'a (dyn Fn(usize, &Tensor, &[Named]) -> Result<Tensor, BoxError> + Sync);

/// What steps of a network did on a rank.
#[derive(Debug, PartialEq)]
struct Seen {
    /// After each step.
    hashes: Vec<u64>,
    /// In each step.
    events: Vec<Vec<Event>>,
}

/// Some steps on two ranks.
fn steps(reduction: Reduction, count: u64, net: Net<'_>) -> Vec<Seen> {
    on_ranks(2, |ranks| {
        let (rank, later, params) = (ranks.rank(), Arc::new(Later::new(ranks)), numbers());
        let mut trainer = one_trainer(&params, &config(10));
        trainer.join(later.clone(), reduction).unwrap();
        trainer.share_state(None).unwrap();
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| net(rank, x_t, &params);
        let mut seen = Seen { hashes: Vec::new(), events: Vec::new() };
        for step in 0..count {
            let before = later.events().len();
            let mut on_end = |phase| {
                if phase == Phase::Backward {
                    later.tell(("backward", 0));
                }
            };
            let _ = trainer.train_step_watched(&share(step, rank, 2), &model, &mut on_end).unwrap();
            seen.hashes.push(trainer.weights_hash().unwrap());
            seen.events.push(later.events().split_off(before));
        }
        seen
    })
}

/// Two steps have the same bits on both ranks, and as with sums after the backward pass. Returns what rank 0 did.
fn agrees(net: Net<'_>) -> Seen {
    let seen = steps(ONE_BY_ONE, 2, net);
    let after = steps(Reduction { overlap: false, ..ONE_BY_ONE }, 2, net);
    for other in [&seen[1], &after[0], &after[1]] {
        assert_eq!(seen[0].hashes, other.hashes);
    }
    assert_ne!(seen[0].hashes[0], seen[0].hashes[1]);
    assert_eq!(seen[0].events, seen[1].events);
    seen.into_iter().next().unwrap()
}

/// The names of what happened.
fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.0).collect()
}

#[test]
fn the_order_of_gradients_may_differ_between_ranks() {
    let net = |rank: usize, x: &Tensor, params: &[Named]| -> Result<Tensor, BoxError> {
        let order = if rank == 0 { [0, 1, 2] } else { [1, 2, 0] };
        let product = order.iter().fold(x.shallow_clone(), |product, &index| product * &params[index].1);
        Ok(product)
    };
    let seen = agrees(&net);
    let wanted = [["begin"; 3].as_slice(), &["backward"], &["end"; 3]].concat();
    assert!(seen.events.iter().all(|events| names(events) == wanted), "{seen:?}");
}

/// A sum that waits for a parameter which the pass does not use begins after it, and so do those behind it.
#[test]
fn unused_parameters_hang_nothing() {
    for unused in 0..3 {
        let net = |_: usize, x: &Tensor, params: &[Named]| -> Result<Tensor, BoxError> {
            let used = params.iter().enumerate().filter(|(index, _)| *index != unused);
            Ok(used.fold(x.shallow_clone(), |product, (_, (_, param))| product * param))
        };
        let seen = agrees(&net);
        let early = 2 - unused;
        let (begun, left) = (vec!["begin"; early], vec!["begin"; 3 - early]);
        let wanted = [begun.as_slice(), &["backward"], &left, &["end"; 3]].concat();
        assert!(seen.events.iter().all(|events| names(events) == wanted), "{unused}, {seen:?}");
    }
}

/// A gradient that only some parts of a batch have is complete after the last one.
#[test]
fn a_parameter_that_only_the_first_part_uses_counts() {
    let steps = |overlap| {
        on_ranks(2, |ranks| {
            let (rank, params, calls) = (ranks.rank(), numbers(), AtomicUsize::new(0));
            let config = trainer::TrainConfig { micro_batch: 4, ..config(10) };
            let mut trainer = one_trainer(&params, &config);
            trainer.join(ranks, Reduction { overlap, ..ONE_BY_ONE }).unwrap();
            trainer.share_state(None).unwrap();
            let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
                let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
                let output = x_t * &params[0].1 * &params[1].1;
                Ok(if first { output * &params[2].1 } else { output })
            };
            let _ = trainer.train_step(&share(0, rank, 2), &model).unwrap();
            assert_eq!(calls.into_inner(), 2);
            let moved = f64::try_from(&params[2].1).unwrap() != f64::from(-0.4_f32);
            (trainer.weights_hash().unwrap(), moved)
        })
    };
    let overlapped = steps(true);
    assert!(overlapped[0] == overlapped[1] && overlapped[0].1);
    assert_eq!(steps(false), overlapped);
}

/// `x` times a number, recomputed in the backward pass.
fn piece(x: &Tensor, param: &Named) -> Result<Tensor, BoxError> {
    let param = param.1.shallow_clone();
    let made =
        checkpoint(&[x], move |inputs| Ok::<_, TorchExtError>(vec![inputs[0].f_mul(&param).map_err(told)?]))?;
    Ok(made.into_iter().next().unwrap())
}

fn told(error: tch::TchError) -> TorchExtError {
    TorchExtError::Torch { call: "a test", text: error.to_string() }
}

/// Pieces that share a parameter go backward one after the other, so its gradient grows after its sum has begun. If that
/// happens on one rank, all sum again after the pass, and only there from then on.
#[test]
fn sums_of_gradients_that_grow_are_repeated() {
    for of_one in [false, true] {
        let net = |rank: usize, x: &Tensor, params: &[Named]| -> Result<Tensor, BoxError> {
            let x = x * &params[0].1 * &params[1].1;
            if of_one && rank == 1 {
                return Ok(x * &params[2].1 * &params[2].1);
            }
            piece(&piece(&x, &params[2])?, &params[2])
        };
        let seen = agrees(&net);
        let in_turn = ["begin", "begin", "end", "begin", "end", "end"];
        let first = [["begin"; 3].as_slice(), &["backward"], &in_turn].concat();
        let second = [["backward"].as_slice(), &in_turn].concat();
        assert_eq!([&seen.events[0], &seen.events[1]].map(|events| names(events)), [first, second]);
    }
}

/// What a first step in which rank 1 fails says on both ranks, if rank 1 computes `fault` on the way back: behind the last number
/// and before the others. `refuses` is a sum that does not begin there. Then a step without a fault follows.
fn failing(refuses: Option<usize>, fault: fn() -> Result<(), TorchExtError>) -> [TrainerError; 2] {
    let ended = on_ranks(2, |ranks| {
        let (rank, params) = (ranks.rank(), numbers());
        let later = Arc::new(Later::at_once(ranks, refuses.filter(|_| rank == 1)));
        let mut trainer = one_trainer(&params, &config(10));
        trainer.join(later.clone(), ONE_BY_ONE).unwrap();
        trainer.share_state(None).unwrap();
        let before = trainer.weights_hash().unwrap();
        let is_faulty = AtomicBool::new(rank == 1);
        let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            let x = x * &params[0].1 * &params[1].1;
            let (runs, is_faulty) = (AtomicUsize::new(0), is_faulty.load(Ordering::Relaxed));
            let made = checkpoint(&[&x], move |inputs| {
                if is_faulty && runs.fetch_add(1, Ordering::Relaxed) == 1 {
                    fault()?;
                }
                Ok::<_, TorchExtError>(vec![inputs[0].shallow_clone()])
            })?;
            Ok(&made[0] * &params[2].1)
        };
        let error = trainer.train_step(&share(0, rank, 2), &model).unwrap_err();
        assert_eq!((trainer.steps_done(), trainer.weights_hash().unwrap()), (0, before));
        // Both have taken part in all sums.
        assert_eq!(later.events(), [("begin", 0), ("begin", 1), ("begin", 2)]);
        is_faulty.store(false, Ordering::Relaxed);
        let report = trainer.train_step(&share(0, rank, 2), &model).unwrap();
        let hash = trainer.weights_hash().unwrap();
        assert_ne!(hash, before);
        (error, (report, hash))
    });
    let [first, second] = <[_; 2]>::try_from(ended).unwrap();
    assert_eq!(first.1, second.1);
    [first.0, second.0]
}

#[test]
fn a_failure_in_the_backward_pass_ends_the_step_of_all() {
    let [first, second] =
        failing(None, || Err(TorchExtError::Torch { call: "a test", text: "no luck".to_owned() }));
    assert!(second.to_string().contains("no luck"), "{second}");
    assert!(matches!(first, TrainerError::OtherRank { rank: 1, failure: "failed", step: 0 }), "{first}");
}

#[test]
fn a_lack_of_memory_in_the_backward_pass_is_told_to_all() {
    let [first, second] = failing(None, || {
        let full = Tensor::f_empty([1_i64 << 50], (Kind::Float, tch::Device::Cpu));
        full.map(drop).map_err(told)
    });
    assert!(matches!(second, TrainerError::OutOfMemory { images: 8, .. }), "{second}");
    assert!(matches!(first, TrainerError::OtherRank { failure: "ran out of memory", .. }), "{first}");
}

/// An error on the way to a sum, in the middle of a backward pass.
#[test]
fn a_sum_that_cannot_begin_is_a_failure_of_the_step() {
    for number in 0..3 {
        let [first, second] = failing(Some(number), || Ok(()));
        assert_eq!(second.to_string(), "no buffer", "{number}");
        assert!(matches!(first, TrainerError::OtherRank { rank: 1, failure: "failed", step: 0 }), "{first}");
    }
}
