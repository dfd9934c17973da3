//! Makes checkpoints with one weight, without libtorch.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]
#![allow(dead_code, reason = "each test uses some of these")]

use std::fs;
use std::path::{Path, PathBuf};

use checkpoints::{
    CONFIG, Checkpoint, CheckpointError, EMA, MANIFEST, MODEL, Manifest, ManifestEntry, OPTIMIZER, STATE,
    State, Writer,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A tensor file: each tensor's name, shape, and the value of all its elements.
pub(crate) fn tensors(of: &[(&str, &[usize], f32)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        of.iter().map(|(_, shape, value)| value.to_le_bytes().repeat(shape.iter().product())).collect();
    let views = of.iter().zip(&bytes);
    let views = views.map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// The optimiser's file for weights with these names and shapes.
pub(crate) fn optimizer(of: &[(&str, &[usize])], step: i64) -> Vec<u8> {
    let both = |(name, shape): &(&str, &[usize])| {
        ["m", "v"].map(|moment| (format!("{moment}.{name}"), shape.to_vec()))
    };
    with_step(of.iter().flat_map(both), step)
}

/// The optimiser's file of step 4 for the weight `w`, with moments of these shapes.
pub(crate) fn moments(first: &[usize], second: &[usize]) -> Vec<u8> {
    with_step([("m.w".to_owned(), first.to_vec()), ("v.w".to_owned(), second.to_vec())], 4)
}

fn with_step(of: impl IntoIterator<Item = (String, Vec<usize>)>, step: i64) -> Vec<u8> {
    let zeros = vec![0; 1 << 10];
    let step = step.to_le_bytes();
    let mut views = vec![("step".to_owned(), TensorView::new(Dtype::I64, vec![1], &step).unwrap())];
    for (name, shape) in of {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        views.push((name, TensorView::new(Dtype::F32, shape, bytes).unwrap()));
    }
    safetensors::serialize(views, None).unwrap()
}

/// The caller's part of a state.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Run {
    pub(crate) interval: u32,
}

/// Writes the checkpoint of a step, with all its weights set to `value`.
pub(crate) fn write(folder: &Path, step: u64, value: f32) -> Result<Checkpoint<Run>, CheckpointError> {
    let mut writer = Writer::begin(folder, step)?;
    writer.put(MODEL, &tensors(&[("w", &[2], value)]))?;
    writer.put(EMA, &tensors(&[("w", &[2], value / 2.0)]))?;
    writer.put(OPTIMIZER, &optimizer(&[("w", &[2])], step as i64))?;
    writer.put(CONFIG, b"seed = 3\n")?;
    writer.commit(State::new(step, 3, Run { interval: 5 }))
}

/// A folder with checkpoints of these steps.
pub(crate) fn folder(steps: &[u64]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for &step in steps {
        write(folder.path(), step, step as f32).unwrap();
    }
    folder
}

/// The step of the newest sound checkpoint, and why others were skipped.
pub(crate) fn latest(folder: &Path) -> (Option<u64>, Vec<String>) {
    let (latest, refused) = checkpoints::latest::<Run>(folder).unwrap();
    (latest.map(|found| found.state.step), refused.iter().map(ToString::to_string).collect())
}

/// Every name in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Replaces a file of a checkpoint and updates its manifest.
pub(crate) fn replace(checkpoint: &Path, name: &str, bytes: &[u8]) {
    fs::write(checkpoint.join(name), bytes).unwrap();
    let path = checkpoint.join(MANIFEST);
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    *manifest.files.iter_mut().find(|entry| entry.name == name).unwrap() = ManifestEntry::of(name, bytes);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// The state of a checkpoint as text.
pub(crate) fn state_text(checkpoint: &Path) -> String {
    fs::read_to_string(checkpoint.join(STATE)).unwrap()
}

pub(crate) fn path_of(folder: &Path, step: u64) -> PathBuf {
    folder.join(checkpoints::folder_name(step))
}
