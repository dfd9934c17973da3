//! Whatever happens on one rank, all of them know, and no weight has changed.

use std::sync::Arc;

use config::Pairing;
use tch::{Kind, Tensor};
use trainer::{BoxError, Reduce, Reduction, TrainConfig, Trainer, TrainerError};

use crate::support::{config, model, one_number, one_trainer};
use crate::threads::{Thread, on_ranks, rank_trainer, share};

/// The errors of a step in which the network of rank 1 does something else, after a step that works; the second value is
/// whether the weights are as before.
fn failing(
    config: &TrainConfig,
    fault: impl Fn(Tensor) -> Result<Tensor, BoxError> + Sync,
) -> Vec<(TrainerError, bool)> {
    on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let (net, mut trainer) = rank_trainer(ranks, config, Reduction::default());
        trainer.train_step(&share(0, rank, 2), &model(&net)).unwrap();
        let before = trainer.weights_hash().unwrap();
        let sound = model(&net);
        let faulty = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            let output = sound(x_t, t, labels)?;
            if rank == 1 { fault(output) } else { Ok(output) }
        };
        let error = trainer.train_step(&share(1, rank, 2), &faulty).unwrap_err();
        assert_eq!(trainer.steps_done(), 1);
        (error, trainer.weights_hash().unwrap() == before)
    })
}

#[test]
fn a_failed_rank_says_why_and_the_others_name_it() {
    let errors = failing(&config(10), |_| Err("broken".into()));
    assert_eq!(errors[1].0.to_string(), "broken");
    assert!(matches!(errors[0].0, TrainerError::OtherRank { rank: 1, failure: "failed", step: 1 }));
    assert!(errors.iter().all(|(_, unchanged)| *unchanged));
}

#[test]
fn a_lack_of_memory_is_told_to_all() {
    let full = |_: Tensor| -> Result<Tensor, BoxError> {
        Ok(Tensor::f_empty([1_i64 << 50], (Kind::Float, tch::Device::Cpu))?)
    };
    let errors = failing(&config(10), full);
    assert!(matches!(errors[1].0, TrainerError::OutOfMemory { images: 8, .. }), "{}", errors[1].0);
    let text = errors[0].0.to_string();
    assert_eq!(text, "rank 1 ran out of memory in step 1; its own message says more");
    assert!(errors.iter().all(|(_, unchanged)| *unchanged));
}

#[test]
fn a_loss_that_is_not_finite_on_one_rank_is_so_on_all() {
    let errors = failing(&config(10), |output| Ok(output * f64::NAN));
    for (error, unchanged) in &errors {
        assert!(matches!(error, TrainerError::NonFinite { what: "the loss", step: 1, .. }), "{error}");
        assert!(unchanged);
    }
}

#[test]
fn a_rank_without_images_ends_the_step_of_all() {
    let errors = on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let (net, mut trainer) = rank_trainer(ranks, &config(10), Reduction::default());
        let mut images = |step| if rank == 0 { Err("no such file".into()) } else { Ok(share(step, rank, 2)) };
        trainer.train_step_ahead(&mut None, false, &mut images, &model(&net)).unwrap_err().to_string()
    });
    assert_eq!(errors, ["no such file", "rank 0 failed in step 0; its own message says more"]);
}

/// Trainers of one number on two ranks, which start from different states.
fn of_one_number(ranks: Arc<Thread>, config: &TrainConfig) -> (Vec<tensor_io::Named>, Trainer) {
    let (rank, params) = (ranks.rank(), one_number());
    let _ = params[0].1.detach().fill_(rank as f64);
    let mut trainer = one_trainer(&params, config);
    trainer.join(ranks, Reduction::default()).unwrap();
    (params, trainer)
}

#[test]
fn the_largest_number_is_that_of_all_ranks() {
    for numbers in [[0, 15, 0], [1, 0, 0], [2, 1, 15], [0, 0, 0]] {
        let largest = on_ranks(3, |ranks| {
            let own = numbers[ranks.rank()];
            of_one_number(ranks, &config(10)).1.largest("the signal", own).unwrap()
        });
        assert_eq!(largest, [*numbers.iter().max().unwrap(); 3]);
    }
    let params = one_number();
    assert_eq!(one_trainer(&params, &config(10)).largest("the signal", 2).unwrap(), 2);
}

#[test]
fn the_state_of_rank_0_is_shared() {
    let shared = on_ranks(2, |ranks| {
        let first = ranks.rank() == 0;
        let (params, mut trainer) = of_one_number(ranks, &config(10));
        let before = trainer.weights_hash().unwrap();
        let interval = trainer.share_state(first.then(Default::default)).unwrap();
        (before, trainer.weights_hash().unwrap(), interval.is_some(), f64::try_from(&params[0].1).unwrap())
    });
    assert_ne!(shared[0].0, shared[1].0);
    for rank in &shared {
        assert_eq!((rank.1, rank.2, rank.3), (shared[0].0, true, 0.0));
    }
}

#[test]
fn a_gradient_on_some_ranks_only_is_refused() {
    let errors = on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let (params, mut trainer) = of_one_number(ranks, &config(10));
        trainer.share_state(None).unwrap();
        let other = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(x_t * if rank == 0 { &params[0].1 } else { &other })
        };
        trainer.train_step(&share(0, rank, 2), &model).unwrap_err()
    });
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, TrainerError::PartialGradient { size: 2, .. }), "{text}");
        assert_eq!(text, "the gradient of w exists on 1 of 2 ranks, expected all or none");
    }
}

#[test]
fn what_needs_the_whole_batch_is_refused() {
    let refused = on_ranks(2, |ranks| {
        let params = one_number();
        let mut trainer = one_trainer(&params, &TrainConfig { pairing: Pairing::Optimal, ..config(10) });
        trainer.join(ranks, Reduction::default()).unwrap_err()
    });
    assert!(refused.iter().all(|error| matches!(error, TrainerError::OptimalPairing)));
}
