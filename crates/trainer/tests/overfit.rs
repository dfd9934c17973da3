//! One memorised image: the loss falls far below the cost of predicting nothing.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use unet::Backbone;

use support::{config, model, ring, tiny_net, trainer};

#[test]
fn one_image_is_memorised() {
    tch::set_num_threads(1);
    let net = tiny_net(0.0, 0);
    let config = config(300);
    let mut trainer = trainer(&net, &config, 0);
    let (batch, model) = (ring(config.batch as i64), model(&net));
    let losses: Vec<f64> =
        (0..config.steps).map(|_| trainer.train_step(&batch, &model).unwrap().loss).collect();

    // A fresh network predicts 0, so its error is the variance of eps: 1.
    assert!((losses[0] - 1.0).abs() < 0.15, "the first loss is {}", losses[0]);
    let last = losses[280..].iter().sum::<f64>() / 20.0;
    assert!(last < 0.1, "after {} steps the loss is {last}", config.steps);
}

#[test]
fn the_average_of_the_weights_learns_it_too() {
    tch::set_num_threads(1);
    let net = tiny_net(0.0, 1);
    let config = config(150);
    let mut trainer = trainer(&net, &config, 1);
    let batch = ring(config.batch as i64);
    for _ in 0..config.steps {
        trainer.train_step(&batch, &model(&net)).unwrap();
    }
    // The loss of the averaged weights, on draws that no training step used.
    let averaged = tiny_net(0.0, 2);
    averaged.copy_weights(trainer.ema_weights()).unwrap();
    let mut judge = support::trainer(&averaged, &config, 99);
    let loss = judge.train_step(&batch, &model(&averaged)).unwrap().loss;
    assert!(loss < 0.3, "the averaged weights have a loss of {loss}");
}
