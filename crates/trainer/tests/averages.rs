//! Averages besides a run's own: kept in checkpoints, stored permanently, and reconstructed from stored ones.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use support::{Silent, config, model, one_number, one_trainer, ring, tiny_net, trainer};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{
    Batch, BoxError, Checkpoint, Fit, Interval, Profile, RunFolder, TrainConfig, TrainerError,
    latest_checkpoint, list_snapshots, reconstruct,
};

const STEPS: u64 = 240;

fn settings() -> TrainConfig {
    TrainConfig {
        ema_decays: vec![0.97],
        ema_sigma_rels: vec![0.05, 0.1],
        checkpoint_every: 20,
        lr: 0.02,
        warmup_steps: 0,
        ..config(STEPS)
    }
}

/// A run with one parameter that never settles, up to its end or a crash.
fn run(folder: &Path, crash: Option<u64>) -> Result<(), TrainerError> {
    let params = one_number();
    let mut trainer = one_trainer(&params, &settings());
    let weight = params[0].1.shallow_clone();
    let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> { Ok(x * &weight) };
    let batch = |step: u64| -> Result<Batch, BoxError> {
        if crash == Some(step) {
            return Err("crash".into());
        }
        Ok(Batch { images: Tensor::ones([4, 1, 2, 2], (Kind::Float, Device::Cpu)), labels: None })
    };
    let folder = RunFolder::open(folder).unwrap();
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "", stop: &stop };
    let interval = fit.resume(&mut trainer)?.unwrap_or_else(Interval::default);
    fit.run(&mut trainer, interval, batch, &model, &mut Silent).map(drop)
}

fn value(named: &[Named], name: &str) -> f64 {
    named.iter().find(|(own, _)| own == name).unwrap().1.double_value(&[0])
}

#[test]
fn kept_averages_are_reconstructed_from_stored_ones() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), None).unwrap();
    let newest = latest_checkpoint(&folder.path().join("checkpoints")).unwrap().0.unwrap();
    let kept = tensor_io::read(&newest.path.join("averages.safetensors")).unwrap();
    assert_eq!(kept.len(), 3);
    let (own, last) =
        (tensor_io::read(&newest.ema_path()).unwrap(), tensor_io::read(&newest.model_path()).unwrap());
    let stored = folder.path().join("averages");
    assert_eq!(list_snapshots(&stored).unwrap().len(), 12);
    let made = |wanted| reconstruct(&stored, &settings(), &own, wanted, STEPS).unwrap();
    for (wanted, name, close) in [
        (Profile::Decay(0.97), "decay-0.97.w", 1e-3),
        (Profile::SigmaRel(0.05), "sigma-rel-0.05.w", 1e-6),
        (Profile::SigmaRel(0.1), "sigma-rel-0.1.w", 1e-6),
    ] {
        let (average, combination) = made(wanted);
        let (got, want) = (value(&average, "w"), value(&kept, name));
        assert!((got - want).abs() < close, "{wanted}: {got} is not {want}, {}", combination.error);
        // The averages differ by more than that from the weights themselves.
        assert!((value(&last, "w") - want).abs() > 2.0 * close, "{wanted}: {want} shows nothing");
    }
    // The run's own average has decay 0.9: ten steps, half the distance of the snapshots, so the fit is coarser.
    assert!((value(&made(Profile::Decay(0.9)).0, "w") - value(&own, "w")).abs() < 2e-3);
    let copy = newest.with_average(&folder.path().join("made"), &made(Profile::SigmaRel(0.2)).0).unwrap();
    assert_eq!(trainer::Checkpoint::open(&copy.path).unwrap().state, newest.state);
}

/// A run of a small U-Net, the same steps for any averages; its last checkpoint.
fn network_run(folder: &Path, settings: &TrainConfig) -> Checkpoint {
    let net = tiny_net(0.0, 7);
    let mut trainer = trainer(&net, settings, 3);
    let folder = RunFolder::open(folder).unwrap();
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "", stop: &stop };
    let batch = |_: u64| -> Result<Batch, BoxError> { Ok(ring(4)) };
    fit.run(&mut trainer, Interval::default(), batch, &model(&net), &mut Silent).unwrap();
    latest_checkpoint(&folder.path().join("checkpoints")).unwrap().0.unwrap()
}

/// Karras et al. 2024, Sec. 3.2: a plain average, from stored power averages alone. Every tensor is within 1e-3 of the average
/// that the run also kept. The fit is poorer for decays of fewer steps than lie between two snapshots.
#[test]
fn an_average_of_a_network_is_reconstructed_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrainConfig {
        ema_sigma_rels: vec![0.05, 0.1],
        ema_warmup: false,
        checkpoint_every: 10,
        warmup_steps: 0,
        ..config(STEPS)
    };
    let decays = [0.95, 0.9];
    let newest = network_run(folder.path(), &TrainConfig { ema_decays: decays.to_vec(), ..stores.clone() });
    let stored = folder.path().join("averages");
    for snapshot in list_snapshots(&stored).unwrap() {
        let tensors = tensor_io::read(&snapshot.path).unwrap();
        assert!(tensors.iter().all(|(name, _)| name.starts_with("sigma-rel-")));
    }
    let kept = tensor_io::read(&newest.path.join("averages.safetensors")).unwrap();
    let raw = tensor_io::read(&newest.model_path()).unwrap();
    let params = tensor_io::read(&newest.ema_path()).unwrap();
    let find = |named: &[Named], name: &str| {
        named.iter().find(|(own, _)| own == name).unwrap().1.to_kind(Kind::Double)
    };
    let square = |x: &Tensor| x.square().sum(Kind::Double).double_value(&[]);
    for decay in decays {
        let wanted = Profile::Decay(decay);
        let (made, combination) = reconstruct(&stored, &stores, &params, wanted, STEPS).unwrap();
        assert!(made.len() > 40 && combination.error < 0.02, "{}, {}", made.len(), combination.error);
        let (mut all, mut moved) = (0.0, 0.0);
        for (name, tensor) in &made {
            let want = find(&kept, &format!("{wanted}.{name}"));
            let (off, size) = (square(&(tensor.to_kind(Kind::Double) - &want)), square(&want));
            assert!(off <= 1e-6 * size, "{wanted}, {name}: off by {:.1e} of {:.1e}", off.sqrt(), size.sqrt());
            all += size;
            moved += square(&(find(&raw, name) - want));
        }
        assert!(moved > 1e-5 * all, "{wanted}: the average is the weights themselves");
    }
}

#[test]
fn a_resumed_run_stores_what_an_uninterrupted_one_does() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    run(folders[0].path(), None).unwrap();
    assert!(run(folders[1].path(), Some(111)).is_err());
    // A snapshot of a step that the run goes back before.
    std::fs::write(folders[1].path().join("averages/step-00000107.safetensors"), b"").unwrap();
    run(folders[1].path(), None).unwrap();
    let files = folders.each_ref().map(|folder| {
        let list = list_snapshots(&folder.path().join("averages")).unwrap();
        list.iter().map(|file| (file.step, std::fs::read(&file.path).unwrap())).collect::<Vec<_>>()
    });
    assert_eq!(files[0].len(), 12);
    assert!(files[0] == files[1]);
}

#[test]
fn a_snapshot_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), None).unwrap();
    let stored = folder.path().join("averages");
    let make = || reconstruct(&stored, &settings(), &one_number(), Profile::SigmaRel(0.07), STEPS).map(drop);
    make().unwrap();
    let file = stored.join("step-00000100.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &changed).unwrap();
    assert!(matches!(make().unwrap_err(), TrainerError::Checkpoint(_)));
    std::fs::copy(stored.join("step-00000120.safetensors"), &file).unwrap();
    assert!(matches!(make().unwrap_err(), TrainerError::Checkpoint(_)));
    std::fs::write(&file, &bytes).unwrap();
    std::fs::write(stored.join("step-00000110.safetensors"), &bytes).unwrap();
    assert!(matches!(make().unwrap_err(), TrainerError::Checkpoint(_)));
}

#[test]
fn without_snapshots_there_is_nothing_to_make() {
    let folder = tempfile::tempdir().unwrap();
    let params = one_number();
    let error = reconstruct(folder.path(), &settings(), &params, Profile::Decay(0.9), 10).unwrap_err();
    assert!(
        matches!(error, TrainerError::NoSnapshots { .. }) && error.to_string().contains("ema_sigma_rels")
    );
}
