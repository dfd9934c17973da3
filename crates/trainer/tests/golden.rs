//! Checkpoints of released versions still load, with the numbers that were saved.
//!
//! `golden/v1` was written by the ignored test below (`cargo test -p trainer --test golden -- --ignored`) when format
//! version 1 was the newest. It is never rewritten: each new version gets its own folder.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::path::{Path, PathBuf};

use checkpoints::{FILES, MANIFEST, Manifest, ManifestEntry, OPTIMIZER};
use support::{config, model, one_trainer, ring, tiny_net, trainer};
use tch::Tensor;
use tensor_io::Named;
use trainer::{Checkpoint, Interval, Optimizer, TrainConfig, Trainer, latest_checkpoint};
use unet::UNet;

/// Two parameters of `eps_theta(x_t, t) = a x_t + b_0 + b_1`.
fn params() -> Vec<Named> {
    let named =
        |name: &str, values: &[f32]| (name.to_owned(), Tensor::from_slice(values).set_requires_grad(true));
    vec![named("a", &[0.0]), named("b.bias", &[0.25, -0.5])]
}

fn numbers() -> TrainConfig {
    TrainConfig { batch: 2, ..config(9) }
}

fn steps(params: &[Named], trainer: &mut Trainer, count: u64, interval: &mut Interval) {
    let (a, b) = (params[0].1.shallow_clone(), params[1].1.shallow_clone());
    for _ in 0..count {
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x_t * &a + b.sum(tch::Kind::Float));
        let report = trainer.train_step(&ring(2), &model).unwrap();
        interval.add(&report, trainer.timesteps());
    }
}

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn values(named: &[Named]) -> Vec<f32> {
    named.iter().flat_map(|(_, tensor)| tensor_io::to_vec(&tensor.detach()).unwrap()).collect()
}

#[test]
fn version_1_loads_and_goes_on() {
    let (found, refused) = latest_checkpoint(&folder("v1")).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let found = found.unwrap();
    assert_eq!((found.state.format_version, found.state.step, found.state.seed), (1, 3, 3));

    let params = params();
    let mut trainer = one_trainer(&params, &numbers());
    let mut interval = found.restore(&mut trainer).unwrap();
    assert_eq!(trainer.steps_done(), 3);
    assert_eq!(values(&params), GOLDEN_MODEL);
    assert_eq!(values(trainer.ema_weights()), GOLDEN_EMA);

    // Check the optimiser and the sums as well: three more steps equal those of a run that never stopped.
    steps(&params, &mut trainer, 3, &mut interval);
    let whole = self::params();
    let mut never_stopped = one_trainer(&whole, &numbers());
    let mut sums = Interval::default();
    steps(&whole, &mut never_stopped, 6, &mut sums);
    for (got, want) in values(&params).iter().zip(values(&whole)) {
        // Sums on another processor may differ in their last bits.
        assert!((got - want).abs() < 1e-5, "{got} for {want}");
    }
    let (got, want) = (interval.finish(6, 0.0, 0.0), sums.finish(6, 0.0, 0.0));
    assert!((got.loss - want.loss).abs() < 1e-4 && (got.grad_norm - want.grad_norm).abs() < 1e-4);
}

/// Earlier versions also saved a second moment of what Muon updates, always zero.
#[test]
fn two_moments_of_muon_load_and_go_on() {
    tch::set_num_threads(1);
    let numbers = TrainConfig { batch: 2, optimizer: Optimizer::Muon, ..config(9) };
    let (net, folder) = (tiny_net(0.0, 3), tempfile::tempdir().unwrap());
    let train = |trainer: &mut Trainer, net: &UNet| {
        for _ in 0..2 {
            trainer.train_step(&ring(2), &model(net)).unwrap();
        }
    };
    let mut never_stopped = trainer(&net, &numbers, 3);
    train(&mut never_stopped, &net);
    let interval = Interval::default();
    let now = Checkpoint::write(folder.path(), &never_stopped, &interval, "seed = 3\n").unwrap();

    let path = now.path.join(OPTIMIZER);
    let mut moments = tensor_io::read(&path).unwrap();
    let sizes: Vec<_> = moments.iter().map(|(name, moment)| (name.clone(), moment.size())).collect();
    let mut added = 0;
    for (name, moment) in moments.iter_mut().filter(|(_, moment)| moment.size() == [0]) {
        let first = name.replacen("v.", "m.", 1);
        let (_, size) = sizes.iter().find(|(name, _)| *name == first).unwrap();
        *moment = Tensor::zeros(&size[..], (tch::Kind::Float, tch::Device::Cpu));
        added += 1;
    }
    assert!(added > 5 && added < moments.len() / 2, "{added}");
    tensor_io::save(&path, &moments).unwrap();
    let entry = |name: &str| ManifestEntry::of(name, &std::fs::read(now.path.join(name)).unwrap());
    let manifest = Manifest { files: FILES.map(entry).into() };
    std::fs::write(now.path.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();

    train(&mut never_stopped, &net);
    let earlier = Checkpoint::open(&now.path).unwrap();
    let other = tiny_net(0.0, 4);
    let mut resumed = trainer(&other, &numbers, 3);
    earlier.restore(&mut resumed).unwrap();
    train(&mut resumed, &other);
    let ends = [(&never_stopped, "whole"), (&resumed, "resumed")].map(|(trainer, name)| {
        let written = Checkpoint::write(&folder.path().join(name), trainer, &interval, "seed = 3\n").unwrap();
        FILES.map(|file| std::fs::read(written.path.join(file)).unwrap())
    });
    assert!(ends[0] == ends[1]);
}

// The contents of the files, unpacked from their bytes by a few lines of Python.
const GOLDEN_MODEL: [f32; 3] = [0.003547674, 0.25343928, -0.49656072];
const GOLDEN_EMA: [f32; 3] = [0.0030476134, 0.25295705, -0.49704295];

#[test]
#[ignore = "writes the golden checkpoint of the newest format version"]
fn write_golden() {
    let params = params();
    let mut trainer = one_trainer(&params, &numbers());
    let mut interval = Interval::default();
    steps(&params, &mut trainer, 3, &mut interval);
    let folder = folder(&format!("v{}", checkpoints::FORMAT_VERSION));
    std::fs::create_dir_all(&folder).unwrap();
    Checkpoint::write(&folder, &trainer, &interval, "seed = 3\n").unwrap();
}
