//! A batch in parts gives the same step as the whole batch, and needs only the memory of a part.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use support::{conditional_net, config, model, ring, tiny_net, trainer};
use tch::{Kind, Tensor};
use tensor_io::Named;
use trainer::{Batch, BoxError, Phase, StepReport, TrainConfig, TrainerError};
use unet::{Backbone, Pass};

/// Takes three steps of 16 images, in parts of `micro_batch`. Returns the reports and the weights after them.
fn steps(micro_batch: usize) -> (Vec<StepReport>, Vec<Named>) {
    tch::set_num_threads(1);
    let net = tiny_net(0.0, 1);
    let mut trainer = trainer(&net, &TrainConfig { micro_batch, ..config(10) }, 1);
    let reports = (0..3).map(|_| trainer.train_step(&ring(16), &model(&net)).unwrap()).collect();
    let copy = |(name, tensor): &Named| (name.clone(), tensor.detach().copy());
    (reports, trainer.params().iter().map(copy).collect())
}

/// The norm of the difference relative to the norm of the second.
fn apart(a: &[Named], b: &[Named]) -> f64 {
    let sum = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| -> f64 {
        let squares =
            a.iter().zip(b).map(|((_, a), (_, b))| f(a, b).square().sum(Kind::Double).double_value(&[]));
        squares.sum::<f64>().sqrt()
    };
    sum(&|a, b| a - b) / sum(&|_, b| b.shallow_clone())
}

#[test]
fn parts_add_up_to_the_step_of_the_batch() {
    let (whole, weights) = steps(0);
    for micro_batch in [1, 5, 15] {
        let (reports, in_parts) = steps(micro_batch);
        for (part, whole) in reports.iter().zip(&whole) {
            assert_eq!(part.t, whole.t);
            assert!(
                (part.loss / whole.loss - 1.0).abs() < 1e-5,
                "{micro_batch}: {} {}",
                part.loss,
                whole.loss
            );
            assert!((part.grad_norm / whole.grad_norm - 1.0).abs() < 1e-4, "{micro_batch}");
            let close = |(a, b): (&f32, &f32)| (a / b - 1.0).abs() < 1e-4;
            assert!(part.losses.len() == 16 && part.losses.iter().zip(&whole.losses).all(close));
        }
        // Adam's first steps follow the sign of a gradient, which rounding may flip where it is nearly 0.
        let apart = apart(&in_parts, &weights);
        assert!(apart < 1e-4, "{micro_batch}: {apart}");
    }
}

#[test]
fn one_part_is_the_whole_batch_bit_for_bit() {
    let (whole, weights) = steps(0);
    let (reports, in_parts) = steps(16);
    assert_eq!(reports, whole);
    assert_eq!(apart(&in_parts, &weights), 0.0);
}

/// Each phase of a step is reported once for the batch or for each part, and watching does not change the step.
#[test]
fn the_phases_of_a_step_come_in_order() {
    use Phase::{Average, Backward, Draws, Loss, Network, Optimizer};
    let (unwatched, _) = steps(8);
    let net = tiny_net(0.0, 1);
    let mut trainer = trainer(&net, &TrainConfig { micro_batch: 8, ..config(10) }, 1);
    let mut told = Vec::new();
    let report = trainer.train_step_watched(&ring(16), &model(&net), &mut |phase| told.push(phase)).unwrap();
    let want = [Draws, Network, Loss, Backward, Network, Loss, Backward, Optimizer, Average];
    assert_eq!((told, report), (want.to_vec(), unwatched[0].clone()));
}

#[test]
fn labels_go_with_their_images() {
    tch::set_num_threads(1);
    let losses = |micro_batch| {
        let net = conditional_net(Some(4), 0.0, 1);
        let mut trainer = trainer(&net, &TrainConfig { micro_batch, ..config(10) }, 1);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 3, 2, 1, 0]);
        let batch = Batch { labels: Some(labels), ..ring(8) };
        let run = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            assert!(labels.is_some_and(|labels| labels.size() == t.size()));
            Ok(net.forward(x_t, t, labels, &Pass::train())?)
        };
        (0..4).map(|_| trainer.train_step(&batch, &run).unwrap()).last().unwrap().losses
    };
    let (whole, in_parts) = (losses(0), losses(3));
    assert!(whole.iter().zip(&in_parts).all(|(a, b)| (a / b - 1.0).abs() < 1e-3), "{whole:?} {in_parts:?}");
}

#[test]
fn memory_for_four_images_is_enough_for_sixteen() {
    tch::set_num_threads(1);
    let net = tiny_net(0.0, 1);
    let small = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
        if x_t.size()[0] > 4 {
            // 2^50 floats.
            let _ = Tensor::f_empty([1_i64 << 50], (Kind::Float, tch::Device::Cpu))?;
        }
        Ok(net.forward(x_t, t, labels, &Pass::train())?)
    };
    let before = trainer(&net, &config(10), 1).params()[0].1.detach().copy();
    let mut whole = trainer(&net, &config(10), 1);
    let error = whole.train_step(&ring(16), &small).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, TrainerError::OutOfMemory { images: 16, image: [1, 8, 8], .. }), "{said}");
    assert!(said.starts_with("not enough memory for 16 images of 8x8x1 at the same time ("), "{said}");
    assert_eq!((whole.steps_done(), whole.params()[0].1 == before), (0, true));

    let mut in_parts = trainer(&net, &TrainConfig { micro_batch: 4, ..config(10) }, 1);
    assert!(in_parts.train_step(&ring(16), &small).is_ok());
    assert_eq!(in_parts.steps_done(), 1);
}
