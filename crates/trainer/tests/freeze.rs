//! Frozen parameters keep every bit, the others learn as without freezing if their gradients are the same, and an
//! interrupted run ends like an uninterrupted one.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use ::config::matches;
use support::{Silent, config, model, one_trainer, ring, tiny_net, trainer};
use tch::Tensor;
use tensor_io::Named;
use trainer::{Batch, BoxError, Fit, RunFolder, TrainConfig, Trainer, TrainerError};
use unet::{Backbone, UNet};

/// Dropout uses libtorch's global generator, so only one run of this process may train at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn numbers(freeze: &[&str]) -> TrainConfig {
    TrainConfig { freeze: freeze.iter().map(|&pattern| pattern.to_owned()).collect(), ..config(6) }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(tensor.detach().reshape([-1])).unwrap().into_iter().map(f32::to_bits).collect()
}

fn all_bits(params: &[Named]) -> BTreeMap<String, Vec<u32>> {
    params.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

fn steps(trainer: &mut Trainer, net: &UNet, steps: usize) -> Vec<f64> {
    (0..steps).map(|_| trainer.train_step(&ring(8), &model(net)).unwrap().loss).collect()
}

#[test]
fn frozen_parameters_keep_every_bit_and_the_others_move() {
    let _alone = alone();
    for (patterns, again) in
        [(&["down_blocks.*", "conv_in.*"][..], false), (&["*.norm*"], false), (&["conv_in.*", "time*"], true)]
    {
        let net = tiny_net(0.0, 5);
        // A negative zero shows even an update that changes nothing else.
        let negative = net.params().iter().find(|(name, _)| name == "conv_in.bias").unwrap();
        {
            let _no_grad = tch::no_grad_guard();
            let _ = negative.1.shallow_clone().fill_(-0.0);
        }
        let numbers = TrainConfig {
            checkpoint_activations: again,
            weight_decay: 0.1,
            ema_decays: vec![0.5],
            ..numbers(patterns)
        };
        let mut trainer = trainer(&net, &numbers, 5);
        let before = all_bits(trainer.params());
        let _ = steps(&mut trainer, &net, 4);
        let (after, ema) = (all_bits(trainer.params()), all_bits(trainer.ema_weights()));
        let (mut frozen, mut learned) = (0, 0);
        for (name, was) in &before {
            if patterns.iter().any(|pattern| matches(pattern, name)) {
                assert!(after[name] == *was && ema[name] == *was, "{name} changed");
                frozen += was.len();
            } else {
                assert!(after[name] != *was && ema[name] != *was, "{name} did not change");
                learned += was.len();
            }
        }
        assert!(frozen > 0);
        assert_eq!(trainer.trained_numbers(), (learned, learned + frozen));
    }
}

/// On a GPU steps are queued; on the CPU a queued step runs at once.
#[test]
fn queued_steps_also_skip_frozen_parameters() {
    let _alone = alone();
    let net = tiny_net(0.0, 5);
    let mut trainer = trainer(&net, &numbers(&["up_blocks.*"]), 5);
    trainer.work_ahead(true).unwrap();
    let before = all_bits(trainer.params());
    for step in 0..3 {
        let queued = trainer.queue_step(step, &ring(8), &model(&net)).unwrap();
        let _ = trainer.finish_step(queued).unwrap();
    }
    let (after, ema) = (all_bits(trainer.params()), all_bits(trainer.ema_weights()));
    for (name, was) in &before {
        let frozen = name.starts_with("up_blocks.");
        assert_eq!((after[name] == *was, ema[name] == *was), (frozen, frozen), "{name}");
    }
}

/// Adam's first step depends only on a parameter's own gradient, as long as nothing is clipped. Freezing others does not
/// change that gradient.
#[test]
fn the_others_learn_as_without_freezing_where_the_gradients_are_equal() {
    let _alone = alone();
    let after_one = |freeze: &[&str]| {
        let net = tiny_net(0.0, 5);
        let mut trainer = trainer(&net, &TrainConfig { grad_clip: 1e9, ..numbers(freeze) }, 5);
        let losses = steps(&mut trainer, &net, 1);
        (all_bits(trainer.params()), losses)
    };
    let (whole, losses) = after_one(&[]);
    for patterns in [&["down_blocks.*", "conv_in.*", "time*"][..], &["up_blocks.*"], &["*.bias"]] {
        let (part, of_part) = after_one(patterns);
        assert_eq!(of_part, losses, "{patterns:?}");
        let learned = part.iter().filter(|(name, _)| !patterns.iter().any(|p| matches(p, name)));
        for (name, bits) in learned {
            assert!(whole[name] == *bits, "{name} with {patterns:?}");
        }
    }
}

/// `eps = w x_t + u` with `u` frozen, against the same with a constant for `u`: the same run to its end.
#[test]
fn a_frozen_parameter_is_a_constant() {
    let leaf =
        |name: &str, value: f32| (name.to_owned(), Tensor::from_slice(&[value]).set_requires_grad(true));
    let run = |params: &[Named], freeze: &[&str]| {
        let w = params[0].1.shallow_clone();
        let constant = params.get(1).map_or_else(|| Tensor::from_slice(&[0.25_f32]), |u| u.1.shallow_clone());
        let net = move |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(x.f_mul(&w)?.f_add(&constant)?)
        };
        let mut trainer = one_trainer(params, &numbers(freeze));
        for _ in 0..6 {
            let _ = trainer.train_step(&ring(4), &net).unwrap();
        }
        (bits(&trainer.params()[0].1), bits(&trainer.ema_weights()[0].1))
    };
    let frozen = run(&[leaf("w", 0.5), leaf("u", 0.25)], &["u"]);
    assert_eq!(frozen, run(&[leaf("w", 0.5)], &[]));
    assert_ne!(frozen, run(&[leaf("w", 0.5), leaf("u", 0.25)], &[]));
}

#[test]
fn patterns_that_match_nothing_or_all_are_refused() {
    for (patterns, words) in
        [(&["conv_in.*", "conv_ni.*"][..], "\"conv_ni.*\""), (&["*"], "leave some parameter")]
    {
        let net = tiny_net(0.0, 5);
        let schedule = schedule::Schedule::ddpm();
        let error = Trainer::new(net.params(), &schedule, &numbers(patterns), 5, net.device()).err().unwrap();
        assert!(matches!(error, TrainerError::Config(_)), "{error:?}");
        assert!(error.to_string().contains("train.freeze") && error.to_string().contains(words), "{error}");
    }
}

/// One process's part of a run, killed before a given step.
fn part(path: &Path, dies_at: Option<u64>) -> Vec<Named> {
    let folder = RunFolder::open(path).unwrap();
    let net = tiny_net(0.2, 5);
    let numbers =
        TrainConfig { checkpoint_every: 2, ema_sigma_rels: vec![0.1], ..numbers(&["down_blocks.*"]) };
    let mut trainer = trainer(&net, &numbers, 5);
    let start = trainer.params().iter().map(|(name, param)| (name.clone(), param.detach().copy())).collect();
    let fit = Fit { folder: &folder, config: "seed = 5\n", stop: &AtomicBool::new(false) };
    let interval = fit.resume(&mut trainer).unwrap().unwrap_or_default();
    let next = |step| -> Result<Batch, BoxError> {
        if dies_at == Some(step) { Err("killed".into()) } else { Ok(ring(8)) }
    };
    let outcome = fit.run(&mut trainer, interval, next, &model(&net), &mut Silent);
    assert_eq!(outcome.is_err(), dies_at.is_some());
    start
}

#[test]
fn an_interrupted_run_is_the_same_run_and_its_checkpoints_keep_what_is_frozen() {
    let _alone = alone();
    let run = |deaths: &[Option<u64>]| {
        let folder = tempfile::tempdir().unwrap();
        let mut start = Vec::new();
        deaths.iter().for_each(|&death| start = part(folder.path(), death));
        let last = folder.path().join("checkpoints/step-00000006");
        for file in ["model.safetensors", "ema.safetensors"] {
            let saved = all_bits(&tensor_io::read(&last.join(file)).unwrap());
            for (name, tensor) in &start {
                assert_eq!(saved[name] == bits(tensor), name.starts_with("down_blocks."), "{file}: {name}");
            }
        }
        // The optimiser has no state for it.
        let optimizer = tensor_io::read(&last.join("optimizer.safetensors")).unwrap();
        assert!(!optimizer.iter().any(|(name, _)| name.contains("down_blocks.")));
        let read = |entry: fs::DirEntry| (entry.file_name(), fs::read(entry.path()).unwrap());
        fs::read_dir(last).unwrap().map(|entry| read(entry.unwrap())).collect::<BTreeMap<_, _>>()
    };
    let whole = run(&[None]);
    for deaths in [&[Some(1), None][..], &[Some(3), None], &[Some(4), Some(5), None]] {
        assert!(run(deaths) == whole, "{deaths:?}");
    }
}
