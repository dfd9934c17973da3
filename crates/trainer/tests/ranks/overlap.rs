//! Gradients are sent in buckets. Their sums begin in the last backward pass of a step, or after it, with the same bits.

use std::sync::Arc;

use config::{Optimizer, TimeSampling};
use tch::Tensor;
use trainer::{BoxError, Phase, Reduction, TrainConfig};
use unet::{Backbone, Pass};

use crate::agreement::{everything, steps};
use crate::later::{Event, Later};
use crate::support::{conditional_net, config, trainer};
use crate::threads::{on_ranks, share};

/// The hash of the weights after a step, and what happened in it, on each of two ranks. A batch has three parts on each.
fn step(reduction: Reduction, checkpoints: bool) -> Vec<(u64, Vec<Event>)> {
    on_ranks(2, |ranks| {
        let rank = trainer::Reduce::rank(&*ranks);
        let later = Arc::new(Later::new(ranks));
        let net = conditional_net(Some(4), 0.0, 1);
        let config = TrainConfig { micro_batch: 3, checkpoint_activations: checkpoints, ..config(10) };
        let mut trainer = trainer(&net, &config, 7);
        trainer.join(later.clone(), reduction).unwrap();
        trainer.share_state(None).unwrap();
        let pass = Pass::train().with_checkpoints(checkpoints);
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            later.tell(("network", 0));
            Ok(net.forward(x_t, t, labels, &pass)?)
        };
        let mut on_end = |phase| {
            if phase == Phase::Backward {
                later.tell(("backward", 0));
            }
        };
        let _ = trainer.train_step_watched(&share(0, rank, 2), &model, &mut on_end).unwrap();
        (trainer.weights_hash().unwrap(), later.events())
    })
}

/// `n` sums after the backward pass, of which at most two are under way.
fn in_turn(n: usize) -> Vec<Event> {
    let pairs = (1..n).flat_map(|next| [("begin", next), ("end", next - 1)]);
    [("begin", 0)].into_iter().chain(pairs).chain([("end", n - 1)]).collect()
}

/// The parts of a batch, with `last` in the backward pass of the last one and `after` behind it.
fn of_parts(last: impl Iterator<Item = Event>, after: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let part = [("network", 0), ("backward", 0)];
    [part, part].concat().into_iter().chain([part[0]]).chain(last).chain([part[1]]).chain(after).collect()
}

#[test]
fn sums_begin_in_the_backward_pass_of_the_last_part() {
    for checkpoints in [false, true] {
        let after = Reduction { overlap: false, ..Reduction::default() };
        let expected = step(after, checkpoints)[0].0;
        for (bucket, least) in [(1 << 30, 1), (5000, 3), (1, 10)] {
            for overlap in [true, false] {
                for (hash, events) in step(Reduction { bucket, overlap, bf16: false }, checkpoints) {
                    let n = events.iter().filter(|event| event.0 == "begin").count();
                    assert!(n >= least && (n == 1 || bucket < 1 << 30), "{n} sums in buckets of {bucket}");
                    let all = |what| (0..n).map(move |number| (what, number));
                    let wanted = match overlap {
                        true => of_parts(all("begin"), all("end")),
                        false => of_parts(std::iter::empty(), in_turn(n)),
                    };
                    assert_eq!(events, wanted, "{bucket}, {checkpoints}");
                    assert_eq!(hash, expected, "{bucket}, {overlap}, {checkpoints}");
                }
            }
        }
    }
}

/// Whatever a step computes, its report and its weights are those of sums after the backward pass.
#[test]
fn a_run_has_the_same_bits_with_and_without_overlap() {
    let plain = Reduction { bucket: 3000, ..Reduction::default() };
    assert!(plain.overlap);
    let frozen = TrainConfig { freeze: vec!["conv_in.*".to_owned()], ..everything() };
    let muon = TrainConfig { optimizer: Optimizer::Muon, ..everything() };
    let by_loss = TrainConfig { micro_batch: 3, time_sampling: TimeSampling::ByLoss, ..everything() };
    for (size, config, reduction) in [
        (2, &everything(), Reduction::default()),
        (4, &by_loss, plain),
        (2, &frozen, Reduction { bf16: true, ..plain }),
        (2, &muon, plain),
    ] {
        let overlapped = steps(size, config, reduction, 3);
        assert_ne!(overlapped[0][0].1, overlapped[0][2].1);
        assert!(overlapped.iter().all(|rank| *rank == overlapped[0]));
        assert_eq!(overlapped, steps(size, config, Reduction { overlap: false, ..reduction }, 3));
    }
}
