//! Snapshots of power averages in a run folder, and averages made from them afterwards.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoints::{CheckpointError, ManifestEntry};
use config::TrainConfig;
use tch::{Kind, Tensor};
use tensor_io::Named;

use crate::averages::profile::Profile;
use crate::averages::reconstruct::{Combination, Stored, combine};
use crate::error::TrainerError;

/// The file of a step is `step-00001000.safetensors`, in the run's folder `averages`.
const ENDING: &str = ".safetensors";

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Steps done.
    pub step: u64,
    /// Path of the file.
    pub path: PathBuf,
}

/// Lists the files with their sizes and hashes, to verify them.
const MANIFEST: &str = "manifest.json";
/// Most bytes of that list: enough for some thousands of snapshots.
const MAX_MANIFEST: u64 = 1 << 20;

/// Writes the snapshot of a step, then adds it to the list.
pub(crate) fn write_snapshot(folder: &Path, step: u64, averages: &[Named]) -> Result<(), TrainerError> {
    files::make_folder(folder).map_err(TrainerError::file(folder))?;
    let (name, bytes) = (checkpoints::folder_name(step) + ENDING, tensor_io::serialize(averages)?);
    let path = folder.join(&name);
    files::write_atomic(&path, &bytes).map_err(TrainerError::file(&path))?;
    let mut entries = listed(folder)?;
    entries.retain(|entry| entry.name != name);
    entries.push(ManifestEntry::of(&name, &bytes));
    write_list(folder, &entries)
}

/// The entries of the list; empty if there is no list.
fn listed(folder: &Path) -> Result<Vec<ManifestEntry>, TrainerError> {
    let path = folder.join(MANIFEST);
    if path.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let bytes = files::read_regular(&path, MAX_MANIFEST).map_err(TrainerError::file(&path))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CheckpointError::altered(&path, "content", "a list of files", error).into())
}

fn write_list(folder: &Path, entries: &[ManifestEntry]) -> Result<(), TrainerError> {
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(entries).map_err(|error| TrainerError::Caller(error.into()))?;
    files::write_atomic(&path, &text).map_err(TrainerError::file(&path))
}

/// Refuses a snapshot that has changed since the run wrote it.
fn verify(snapshot: &Snapshot, entries: &[ManifestEntry]) -> Result<(), TrainerError> {
    let name = checkpoints::folder_name(snapshot.step) + ENDING;
    let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
        let expected = format!("a line in {MANIFEST}");
        return Err(CheckpointError::altered(&snapshot.path, "its hash", expected, "none").into());
    };
    let bytes = fs::read(&snapshot.path).map_err(TrainerError::file(&snapshot.path))?;
    let found = ManifestEntry::of(&name, &bytes);
    if found == *entry {
        return Ok(());
    }
    let expected = format!("{} as in {MANIFEST}", entry.sha256);
    Err(CheckpointError::altered(&snapshot.path, "SHA-256", expected, found.sha256).into())
}

/// Removes the snapshots of later steps: the run continues from `step` and writes them again.
pub(crate) fn remove_after(folder: &Path, step: u64) -> Result<(), TrainerError> {
    for snapshot in list_snapshots(folder)?.into_iter().filter(|snapshot| snapshot.step > step) {
        fs::remove_file(&snapshot.path).map_err(TrainerError::file(&snapshot.path))?;
    }
    let entries = listed(folder)?;
    let stays = |entry: &&ManifestEntry| folder.join(&entry.name).is_file();
    let left: Vec<ManifestEntry> = entries.iter().filter(stays).cloned().collect();
    if left.len() < entries.len() { write_list(folder, &left) } else { Ok(()) }
}

/// The snapshots in a folder, by step; empty if the folder does not exist.
///
/// # Errors
/// [`TrainerError::File`] when it cannot be read.
pub fn list_snapshots(folder: &Path) -> Result<Vec<Snapshot>, TrainerError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainerError::file(folder))? {
        let entry = entry.map_err(TrainerError::file(folder))?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|name| name.strip_suffix(ENDING)).and_then(checkpoints::step_of);
        if let Some(step) = step {
            found.push(Snapshot { step, path: entry.path() });
        }
    }
    found.sort_by_key(|snapshot| snapshot.step);
    Ok(found)
}

/// The average `wanted` after `steps` steps of a run, computed from its snapshots with the names and shapes of `params`; and
/// the combination used, with its error.
///
/// # Errors
/// [`TrainerError::NoSnapshots`]; [`TrainerError::Checkpoint`] for a snapshot that has changed since the run wrote it; and
/// errors of reading them.
pub fn reconstruct(
    folder: &Path,
    config: &TrainConfig,
    params: &[Named],
    wanted: Profile,
    steps: u64,
) -> Result<(Vec<Named>, Combination), TrainerError> {
    let mut snapshots = list_snapshots(folder)?;
    snapshots.retain(|snapshot| snapshot.step <= steps);
    let sigma_rels = &config.ema_sigma_rels;
    if snapshots.is_empty() || sigma_rels.is_empty() {
        return Err(TrainerError::NoSnapshots { path: folder.to_owned() });
    }
    let stored: Vec<Stored> = snapshots
        .iter()
        .flat_map(|snapshot| sigma_rels.iter().map(|&sigma_rel| Stored { sigma_rel, step: snapshot.step }))
        .collect();
    let entries = listed(folder)?;
    snapshots.iter().try_for_each(|snapshot| verify(snapshot, &entries))?;
    let combination = combine(&stored, wanted, config, steps);

    let _no_grad = tch::no_grad_guard();
    let mut sums = Vec::new();
    for (_, param) in params {
        sums.push(param.f_zeros_like()?.f_to_kind(Kind::Double)?);
    }
    for (snapshot, weights) in snapshots.iter().zip(combination.weights.chunks(sigma_rels.len())) {
        let targets = sigma_rels.iter().flat_map(|&sigma_rel| {
            let profile = Profile::SigmaRel(sigma_rel);
            params.iter().map(move |(name, param)| (format!("{profile}.{name}"), param.shallow_clone()))
        });
        let targets: Vec<Named> = targets.collect();
        let found: HashMap<String, Tensor> =
            tensor_io::read_for(&snapshot.path, &targets)?.into_iter().collect();
        // All tensors of one average, then those of the next.
        for (index, (name, _)) in targets.iter().enumerate() {
            let (weight, sum) = (weights[index / params.len()], &mut sums[index % params.len()]);
            if let Some(tensor) = found.get(name) {
                let _ = sum.f_add_(&tensor.f_to_kind(Kind::Double)?.f_mul_scalar(weight)?)?;
            }
        }
    }
    let average = |((name, _), sum): (&Named, Tensor)| Ok((name.clone(), sum.f_to_kind(Kind::Float)?));
    let averages = params.iter().zip(sums).map(average).collect::<Result<_, TrainerError>>()?;
    Ok((averages, combination))
}
