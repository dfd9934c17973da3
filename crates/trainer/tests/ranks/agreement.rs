//! The numbers of several ranks are those of one process, up to the order of sums.

use config::{Optimizer, Pairing, TimeSampling};
use tch::Tensor;
use trainer::{BoxError, Phase, Reduction, StepReport, TrainConfig};

use crate::support::{config, model};
use crate::threads::{on_ranks, rank_trainer, share};

/// Everything that is drawn per image.
pub(crate) fn everything() -> TrainConfig {
    TrainConfig {
        label_dropout: 0.3,
        pairing: Pairing::Nearest,
        time_sampling: TimeSampling::Uniform,
        ..config(100)
    }
}

/// The reports of some steps and the hash of the weights after each, on every rank.
pub(crate) fn steps(
    size: usize,
    config: &TrainConfig,
    reduction: Reduction,
    count: u64,
) -> Vec<Vec<(StepReport, u64)>> {
    on_ranks(size, |ranks| {
        let rank = trainer::Reduce::rank(&*ranks);
        let (net, mut trainer) = rank_trainer(ranks, config, reduction);
        assert_eq!((trainer.rank(), trainer.ranks(), trainer.is_first()), (rank, size, rank == 0));
        let of_net = model(&net);
        // The network is not told of the augmentation.
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            let plain = labels
                .map(|labels| if labels.dim() == 2 { labels.select(1, 0) } else { labels.shallow_clone() });
            of_net(x_t, t, plain.as_ref())
        };
        let step = |step| {
            let report = trainer.train_step(&share(step, rank, size), &model).unwrap();
            (report, trainer.weights_hash().unwrap())
        };
        (0..count).map(step).collect()
    })
}

/// All ranks have the same reports and the same weights after every step. Returns them.
fn same_on_all(ranks: Vec<Vec<(StepReport, u64)>>) -> Vec<(StepReport, u64)> {
    assert!(ranks.iter().all(|rank| *rank == ranks[0]));
    ranks.into_iter().next().unwrap()
}

fn near(a: f64, b: f64, by: f64) -> bool {
    (a - b).abs() <= by * b.abs()
}

fn agrees(config: &TrainConfig, count: u64) {
    let one = same_on_all(steps(1, config, Reduction::default(), count));
    for size in [2, 4] {
        let several = same_on_all(steps(size, config, Reduction::default(), count));
        for (step, ((report, _), (whole, _))) in several.iter().zip(&one).enumerate() {
            assert_eq!(report.t, whole.t, "{size} ranks, step {step}");
            assert_eq!((report.lr, report.losses.len()), (whole.lr, whole.losses.len()));
            let (a, b) = (report.loss, whole.loss);
            assert!(near(a, b, 2e-4), "{size} ranks, step {step}: {a} {b}");
            let (a, b) = (report.grad_norm, whole.grad_norm);
            assert!(near(a, b, 2e-3), "{size} ranks, step {step}: norm {a} {b}");
        }
        // Before any rounding of the weights.
        let ((first, _), (whole, _)) = (&several[0], &one[0]);
        assert!(near(first.loss, whole.loss, 1e-6) && near(first.grad_norm, whole.grad_norm, 1e-5));
        assert!(first.losses.iter().zip(&whole.losses).all(|(a, b)| near((*a).into(), (*b).into(), 1e-4)));
    }
}

#[test]
fn one_two_and_four_ranks_agree_to_rounding() {
    agrees(&everything(), 12);
}

/// Rounding grows faster: a direction of little gradient counts as much as any other.
#[test]
fn they_agree_with_muon() {
    agrees(&TrainConfig { optimizer: Optimizer::Muon, ..everything() }, 4);
}

#[test]
fn they_agree_with_parts_augmentation_and_levels_drawn_by_loss() {
    let base = TrainConfig { micro_batch: 3, ..everything() };
    agrees(&TrainConfig { time_sampling: TimeSampling::ByLoss, ..base.clone() }, 6);
    agrees(&TrainConfig { time_sampling: TimeSampling::Stratified, augment: 0.4, ..base }, 4);
}

#[test]
fn a_single_rank_is_the_process_alone_bit_for_bit() {
    let config = everything();
    let joined = same_on_all(steps(1, &config, Reduction::default(), 5));
    let net = crate::support::conditional_net(Some(4), 0.0, 1);
    let mut alone = crate::support::trainer(&net, &config, 7);
    for (step, expected) in joined.iter().enumerate() {
        let report = alone.train_step(&share(step as u64, 0, 1), &model(&net)).unwrap();
        assert_eq!((report, alone.weights_hash().unwrap()), *expected);
    }
}

#[test]
fn the_size_of_buckets_does_not_matter() {
    let config = everything();
    let with = |bucket| same_on_all(steps(2, &config, Reduction { bucket, ..Reduction::default() }, 3));
    let whole = with(1 << 30);
    assert_eq!(with(1), whole);
    assert_eq!(with(5000), whole);
}

#[test]
fn gradients_in_bf16_are_near_and_equal_on_all_ranks() {
    let config = everything();
    let exact = same_on_all(steps(2, &config, Reduction::default(), 3));
    let rounded = same_on_all(steps(2, &config, Reduction { bf16: true, ..Reduction::default() }, 3));
    let (a, b) = (rounded[0].0.grad_norm, exact[0].0.grad_norm);
    assert!(a != b && near(a, b, 1e-2), "{a} {b}");
    assert!(near(rounded[2].0.loss, exact[2].0.loss, 2e-2));
}

/// Waiting for the others and the sums are a phase of their own, on every rank.
#[test]
fn the_reduction_is_a_phase_of_the_step() {
    use Phase::{Average, Backward, Draws, Loss, Network, Optimizer, Reduction as Sums};
    let phases = |size| {
        on_ranks(size, |ranks| {
            let rank = trainer::Reduce::rank(&*ranks);
            let (net, mut trainer) = rank_trainer(ranks, &config(10), Reduction::default());
            let mut told = Vec::new();
            let batch = share(0, rank, size);
            let _ = trainer.train_step_watched(&batch, &model(&net), &mut |phase| told.push(phase)).unwrap();
            told
        })
    };
    let want = vec![Draws, Network, Loss, Backward, Sums, Optimizer, Average];
    assert_eq!(phases(2), [want.clone(), want.clone()]);
    let alone: Vec<Phase> = want.into_iter().filter(|phase| *phase != Sums).collect();
    assert_eq!(phases(1), [alone]);
}
