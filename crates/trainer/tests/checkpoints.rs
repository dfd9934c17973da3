//! Damaged checkpoints: broken ones are skipped, foreign entries are left alone. The network here has one parameter.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use support::{Silent, config, one_number, one_trainer, ring};
use tch::Tensor;
use trainer::{
    Checkpoint, Fit, Outcome, RunFolder, TrainConfig, TrainerError, latest_checkpoint, list_checkpoints,
};

/// Runs to `steps` with a checkpoint every 2 steps; continues an existing run.
fn run_to(path: &Path, steps: u64, keep: usize) -> Result<Outcome, TrainerError> {
    let folder = RunFolder::open(path)?;
    let params = one_number();
    let config =
        TrainConfig { batch: 4, log_every: 1, checkpoint_every: 2, keep_checkpoints: keep, ..config(steps) };
    let mut trainer = one_trainer(&params, &config);
    let stop = AtomicBool::new(false);
    let fit = Fit { folder: &folder, config: "seed = 3\n", stop: &stop };
    let interval = fit.resume(&mut trainer)?.unwrap_or_default();
    let w = params[0].1.shallow_clone();
    let model = move |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x_t * &w);
    fit.run(&mut trainer, interval, |_| Ok(ring(4)), &model, &mut Silent)
}

fn steps_of(path: &Path) -> Vec<u64> {
    list_checkpoints(&path.join("checkpoints")).unwrap().into_iter().map(|(step, _)| step).collect()
}

/// A run with checkpoints at 2, 4 and 6, and the folder of the last.
fn three_checkpoints() -> (tempfile::TempDir, PathBuf) {
    let run = tempfile::tempdir().unwrap();
    run_to(run.path(), 6, 3).unwrap();
    assert_eq!(steps_of(run.path()), [2, 4, 6]);
    let newest = run.path().join("checkpoints/step-00000006");
    (run, newest)
}

fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A damage to the newest checkpoint, and what the refusal must name.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: &[Damage] = &[
    ("truncated", |c| truncate(&c.join("model.safetensors")), "model.safetensors"),
    ("empty", |c| fs::write(c.join("ema.safetensors"), "").unwrap(), "ema.safetensors"),
    ("flipped", |c| flip_last_byte(&c.join("optimizer.safetensors")), "optimizer.safetensors"),
    ("flipped text", |c| flip_last_byte(&c.join("config.toml")), "config.toml"),
    ("missing", |c| fs::remove_file(c.join("ema.safetensors")).unwrap(), "ema.safetensors"),
    ("no manifest", |c| fs::remove_file(c.join("manifest.json")).unwrap(), "manifest.json"),
    ("garbled manifest", |c| fs::write(c.join("manifest.json"), "\u{0}{not json").unwrap(), "manifest.json"),
    ("cut manifest", |c| truncate(&c.join("manifest.json")), "manifest.json"),
    ("empty manifest", |c| fs::write(c.join("manifest.json"), r#"{"files": []}"#).unwrap(), "manifest.json"),
    ("climbing manifest", |c| climb(&c.join("manifest.json")), "manifest.json"),
    ("a file in its place", |c| replace_by_file(c), "step-00000006"),
];

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Makes the manifest name a file outside of the checkpoint.
fn climb(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace("\"ema.safetensors\"", "\"../../metrics.jsonl\"")).unwrap();
}

fn replace_by_file(checkpoint: &Path) {
    fs::remove_dir_all(checkpoint).unwrap();
    fs::write(checkpoint, "not a folder").unwrap();
}

#[test]
fn a_damaged_newest_checkpoint_is_skipped() {
    for (name, damage, named) in DAMAGES {
        let (run, newest) = three_checkpoints();
        damage(&newest);
        let (latest, refused) = latest_checkpoint(&run.path().join("checkpoints")).unwrap();
        assert_eq!(latest.unwrap().state.step, 4, "{name}");
        assert_eq!(refused.len(), 1, "{name}");
        assert!(refused[0].to_string().contains(named), "{name}: {}", refused[0]);
    }
}

#[test]
fn a_run_goes_on_from_the_one_before_and_ends_the_same() {
    let (whole, _) = three_checkpoints();
    run_to(whole.path(), 8, 3).unwrap();
    for (name, damage, _) in DAMAGES {
        let (run, newest) = three_checkpoints();
        damage(&newest);
        run_to(run.path(), 8, 3).unwrap();
        for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"] {
            let read = |run: &Path| fs::read(run.join("checkpoints/step-00000008").join(file)).unwrap();
            assert!(read(run.path()) == read(whole.path()), "{file} after {name}");
        }
        let steps: Vec<u64> =
            RunFolder::read_metrics(run.path()).unwrap().iter().map(|record| record.step).collect();
        assert_eq!(steps, (1..=8).collect::<Vec<_>>(), "each step is logged once after {name}");
    }
}

#[test]
fn without_a_valid_checkpoint_a_run_does_not_start_over() {
    let (run, _) = three_checkpoints();
    for (_, checkpoint) in list_checkpoints(&run.path().join("checkpoints")).unwrap() {
        truncate(&checkpoint.join("model.safetensors"));
    }
    let error = run_to(run.path(), 8, 3).unwrap_err().to_string();
    assert!(error.contains("checkpoints") && error.contains("model.safetensors"), "{error}");
    assert_eq!(steps_of(run.path()), [2, 4, 6], "nothing was removed");
    assert_eq!(RunFolder::read_metrics(run.path()).unwrap().len(), 6);
}

#[test]
fn damaged_checkpoints_never_crowd_out_valid_ones() {
    let (run, _) = three_checkpoints();
    for step in [4, 6] {
        truncate(&run.path().join(format!("checkpoints/step-{step:08}/model.safetensors")));
    }
    // From step 2 on, one step and one checkpoint; two checkpoints are kept.
    run_to(run.path(), 3, 2).unwrap();
    let (latest, _) = latest_checkpoint(&run.path().join("checkpoints")).unwrap();
    assert_eq!(latest.map(|checkpoint| checkpoint.state.step), Some(3));
}

#[test]
fn rotation_keeps_the_newest_and_leaves_what_is_foreign() {
    let run = tempfile::tempdir().unwrap();
    let foreign = ["notes", "step-", "step-best", "best-00000002", "step--1"];
    for name in foreign {
        let folder = run.path().join("checkpoints").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("keep"), name).unwrap();
    }
    fs::write(run.path().join("checkpoints/README"), "mine").unwrap();
    for (steps, left) in [(2, vec![2]), (4, vec![2, 4]), (9, vec![8, 9]), (12, vec![10, 12])] {
        run_to(run.path(), steps, 2).unwrap();
        assert_eq!(steps_of(run.path()), left);
    }
    for name in foreign {
        let kept = fs::read_to_string(run.path().join("checkpoints").join(name).join("keep")).unwrap();
        assert_eq!(kept, name);
    }
    assert_eq!(fs::read_to_string(run.path().join("checkpoints/README")).unwrap(), "mine");
    let temporary = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let mut entries = fs::read_dir(run.path().join("checkpoints")).unwrap();
    assert!(!entries.any(|entry| temporary(entry.unwrap())), "a temporary folder is left");
}

#[test]
fn leftovers_of_a_killed_process_are_removed() {
    let (run, _) = three_checkpoints();
    let checkpoints = run.path().join("checkpoints");
    let (leftover, foreign) = (checkpoints.join(".tmp-123-step-00000008"), checkpoints.join(".tmp-notes"));
    for folder in [&leftover, &foreign] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("model.safetensors"), "half").unwrap();
    }
    run_to(run.path(), 8, 3).unwrap();
    assert!(!leftover.exists());
    assert!(foreign.exists(), "a folder that no run made was removed");
}

/// Steps are compared as numbers: as text, 1000000 would come before 200000.
#[test]
fn a_long_run_sorts_by_number() {
    let run = tempfile::tempdir().unwrap();
    for name in ["step-200000000", "step-00000010", "step-1000000000"] {
        fs::create_dir_all(run.path().join("checkpoints").join(name)).unwrap();
    }
    assert_eq!(steps_of(run.path()), [10, 200_000_000, 1_000_000_000]);
}

#[test]
fn a_future_version_is_refused_by_its_number() {
    let (_run, newest) = three_checkpoints();
    let state = fs::read_to_string(newest.join("state.json")).unwrap();
    let (old, new) = ("\"format_version\": 1", "\"format_version\": 57");
    assert!(state.contains(old), "{state}");
    let state = state.replace(old, new);
    fs::write(newest.join("state.json"), &state).unwrap();
    assert!(matches!(Checkpoint::open(&newest), Err(TrainerError::Checkpoint(_))), "not in the manifest");

    // The manifest agrees, so the version is the only reason to refuse.
    let manifest = fs::read_to_string(newest.join("manifest.json")).unwrap();
    let mut manifest: trainer::Manifest = serde_json::from_str(&manifest).unwrap();
    let entry = manifest.files.iter_mut().find(|entry| entry.name == "state.json").unwrap();
    *entry = trainer::ManifestEntry::of("state.json", state.as_bytes());
    fs::write(newest.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let error = Checkpoint::open(&newest).unwrap_err().to_string();
    assert!(error.contains("57") && error.contains("step-00000006"), "{error}");
}

#[test]
fn a_checkpoint_of_another_seed_or_network_changes_nothing() {
    let (_run, newest) = three_checkpoints();
    let checkpoint = Checkpoint::open(&newest).unwrap();
    let other_seed = one_number();
    let mut trainer =
        trainer::Trainer::new(&other_seed, &schedule::Schedule::ddpm(), &config(9), 4, tch::Device::Cpu)
            .unwrap();
    assert!(checkpoint.restore(&mut trainer).unwrap_err().to_string().contains("expected 4, found 3"));
    assert_eq!(trainer.steps_done(), 0);

    let wider = vec![("w".to_owned(), Tensor::from_slice(&[0.0_f32; 2]).set_requires_grad(true))];
    let mut trainer = one_trainer(&wider, &config(9));
    assert!(matches!(checkpoint.restore(&mut trainer), Err(TrainerError::Tensors(_))));
    assert_eq!(tensor_io::to_vec(&wider[0].1.detach()).unwrap(), [0.0, 0.0]);
}

/// Nothing is taken from a refused checkpoint, even if some of its files fit.
#[test]
fn a_checkpoint_is_restored_completely_or_not_at_all() {
    let (_run, newest) = three_checkpoints();
    let checkpoint = Checkpoint::open(&newest).unwrap();
    // The optimiser's file is read last, and is damaged after the verification.
    truncate(&newest.join("optimizer.safetensors"));
    let params = one_number();
    let mut trainer = one_trainer(&params, &config(9));
    assert!(checkpoint.restore(&mut trainer).unwrap_err().to_string().contains("optimizer.safetensors"));
    assert_eq!(tensor_io::to_vec(&params[0].1.detach()).unwrap(), [0.0]);
    assert_eq!(trainer.steps_done(), 0);
}

#[test]
fn what_is_not_finite_is_never_saved() {
    for value in [f64::NAN, f64::INFINITY] {
        // The average starts as a copy of the weights; repairing the weights shows that the average is checked too.
        for (mended, file) in [(false, "model.safetensors"), (true, "ema.safetensors")] {
            let folder = tempfile::tempdir().unwrap();
            let params = one_number();
            let set = |value: f64| {
                let _no_grad = tch::no_grad_guard();
                let _ = params[0].1.shallow_clone().fill_(value);
            };
            set(value);
            let trainer = one_trainer(&params, &config(9));
            if mended {
                set(1.0);
            }
            match Checkpoint::write(folder.path(), &trainer, &trainer::Interval::default(), "") {
                Err(TrainerError::NonFiniteWeights { file: found, tensor, step: 0 }) => {
                    assert_eq!((found, tensor.as_str()), (file, "w"));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
