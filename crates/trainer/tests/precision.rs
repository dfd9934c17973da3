//! bf16 trains as well as f32: after a short training run the losses differ by less than between seeds.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use support::{config, ring, tiny_net, trainer};
use tch::{Kind, Tensor};
use trainer::{Batch, BoxError};
use unet::{Backbone, Pass};

const STEPS: u64 = 200;
/// Last steps over which the losses are averaged.
const LAST: usize = 80;
const SEEDS: [u64; 3] = [1, 2, 3];

/// Mean loss of the first ten and of the last steps.
fn losses(kind: Kind, seed: u64) -> (f64, f64) {
    let net = tiny_net(0.0, seed);
    let mut trainer = trainer(&net, &config(STEPS), seed);
    let pass = Pass::train().with_kind(kind);
    let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
        Ok(net.forward(x_t, t, labels, &pass)?)
    };
    // The ring and its negative.
    let Batch { images, .. } = ring(8);
    let images = Batch { images: Tensor::cat(&[&images, &-&images], 0), labels: None };
    let losses: Vec<f64> = (0..STEPS).map(|_| trainer.train_step(&images, &model).unwrap().loss).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (mean(&losses[..10]), mean(&losses[losses.len() - LAST..]))
}

#[test]
fn bf16_reaches_the_loss_of_f32_within_the_noise_of_seeds() {
    tch::set_num_threads(1);
    let all = |kind| SEEDS.map(|seed| losses(kind, seed));
    let (f32s, bf16s) = (all(Kind::Float), all(Kind::BFloat16));
    assert_ne!(f32s, bf16s, "the same numbers in both precisions");
    for (first, last) in f32s.iter().chain(&bf16s) {
        assert!(*last < 0.5 * first, "{first} became {last}");
    }
    let ends = |runs: &[(f64, f64)]| runs.iter().map(|(_, last)| *last).collect::<Vec<_>>();
    let (plain, half) = (ends(&f32s), ends(&bf16s));
    let mean = |ends: &[f64]| ends.iter().sum::<f64>() / ends.len() as f64;
    let most = plain.iter().copied().fold(f64::MIN, f64::max);
    let least = plain.iter().copied().fold(f64::MAX, f64::min);
    let apart = (mean(&half) - mean(&plain)).abs();
    assert!(apart <= most - least, "f32 {plain:?}, bf16 {half:?}");
}
