//! Checkpoints: `checkpoints/step-00001000/` with the model, its average, the optimiser, the position and
//! the configuration, and a manifest of hashes.
//!
//! A folder is built under a temporary name, every file synced, the manifest last, then renamed: it is
//! complete or not there. "Latest" is the highest step whose manifest verifies; no pointer can be wrong.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TrainerError;
use crate::metrics::Interval;
use crate::step::Trainer;

/// Raised when the layout changes; older ones stay readable.
const FORMAT_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// What a checkpoint of this version is made of, besides the manifest.
const FILES: [&str; 5] = [MODEL, EMA, OPTIMIZER, CONFIG, STATE];
const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CONFIG: &str = "config.toml";
const STATE: &str = "state.json";
/// A folder under construction begins with this.
const TEMPORARY: &str = ".tmp-";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the layout.
    pub format_version: u32,
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Sums of the interval that is being logged.
    pub interval: Interval,
}

/// Name, size and SHA-256 of each file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files.
    pub files: Vec<ManifestEntry>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Name within the folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
}

/// A checkpoint whose manifest has been verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Where the run stood.
    pub state: State,
}

impl Checkpoint {
    /// Saves the trainer's state below `checkpoints`; `config` is the resolved configuration as TOML.
    ///
    /// # Errors
    /// [`TrainerError::File`] when the disk is full, for example; earlier checkpoints are untouched.
    pub fn write(
        checkpoints: &Path,
        trainer: &Trainer,
        interval: &Interval,
        config: &str,
    ) -> Result<Self, TrainerError> {
        let step = trainer.steps_done();
        let path = checkpoints.join(folder_name(step));
        let temporary = checkpoints.join(format!("{TEMPORARY}{}-{}", std::process::id(), folder_name(step)));
        let state =
            State { format_version: FORMAT_VERSION, step, seed: trainer.seed(), interval: interval.clone() };
        let written = write_folder(&temporary, trainer, &state, config).and_then(|()| {
            if path.exists() {
                // The same step again, after a resume: the same content, or a damaged one.
                fs::remove_dir_all(&path).map_err(TrainerError::file(&path))?;
            }
            fs::rename(&temporary, &path).map_err(TrainerError::file(&path))?;
            files::sync_dir(checkpoints).map_err(TrainerError::file(checkpoints))
        });
        if written.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        written.map(|()| Self { path, state })
    }

    /// Opens a checkpoint folder and verifies every file against the manifest.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`] naming the file that is missing or altered, or the unknown version.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        let manifest: Manifest = read_json(&path.join(MANIFEST))?;
        for entry in &manifest.files {
            verify(path, entry)?;
        }
        // What the manifest does not list, nothing vouches for.
        if let Some(name) = FILES.iter().find(|name| !manifest.files.iter().any(|entry| entry.name == **name))
        {
            let reason = format!("it does not list {name}, which every checkpoint has");
            return Err(TrainerError::Checkpoint { path: path.join(MANIFEST), reason });
        }
        let state: State = read_json(&path.join(STATE))?;
        if state.format_version > FORMAT_VERSION {
            let (found, known) = (state.format_version, FORMAT_VERSION);
            let reason = format!("format version {found} is newer than this program's {known}; update it");
            return Err(TrainerError::Checkpoint { path: path.to_owned(), reason });
        }
        Ok(Self { path: path.to_owned(), state })
    }

    /// The averaged weights: what to sample with.
    #[must_use]
    pub fn ema_path(&self) -> PathBuf {
        self.path.join(EMA)
    }

    /// The weights as trained.
    #[must_use]
    pub fn model_path(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Puts a trainer where this checkpoint left off; returns the sums of the interval.
    ///
    /// # Errors
    /// [`TrainerError::Tensors`] when the checkpoint is of another network.
    pub fn restore(&self, trainer: &mut Trainer) -> Result<Interval, TrainerError> {
        if self.state.seed != trainer.seed() {
            let reason = format!("it is of seed {}, not {}", self.state.seed, trainer.seed());
            return Err(TrainerError::Checkpoint { path: self.path.clone(), reason });
        }
        tensor_io::load_into(&self.model_path(), trainer.params())?;
        tensor_io::load_into(&self.ema_path(), trainer.ema_weights())?;
        let optimizer = self.path.join(OPTIMIZER);
        trainer.adam.restore(&optimizer, &tensor_io::read(&optimizer)?)?;
        trainer.step = self.state.step;
        Ok(self.state.interval.clone())
    }
}

/// The checkpoint folders below `checkpoints`, by step, not verified.
///
/// # Errors
/// [`TrainerError::File`] when the folder cannot be read.
pub fn list_checkpoints(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>, TrainerError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints).map_err(TrainerError::file(checkpoints))? {
        let path = entry.map_err(TrainerError::file(checkpoints))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // By number: sorted as text, step 1000000 would come before 200000.
        if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The newest checkpoint that verifies, if there is any, and why newer ones were passed over.
///
/// # Errors
/// [`TrainerError::File`] when the folder cannot be read.
pub fn latest_checkpoint(
    checkpoints: &Path,
) -> Result<(Option<Checkpoint>, Vec<TrainerError>), TrainerError> {
    let mut refused = Vec::new();
    for (_, path) in list_checkpoints(checkpoints)?.into_iter().rev() {
        match Checkpoint::open(&path) {
            Ok(checkpoint) => return Ok((Some(checkpoint), refused)),
            Err(error) => refused.push(error),
        }
    }
    Ok((None, refused))
}

/// Removes the oldest checkpoints beyond `keep`, never the newest two.
pub(crate) fn rotate(checkpoints: &Path, keep: usize) -> Result<(), TrainerError> {
    let found = list_checkpoints(checkpoints)?;
    let surplus = found.len().saturating_sub(keep.max(2));
    for (_, path) in &found[..surplus] {
        fs::remove_dir_all(path).map_err(TrainerError::file(path))?;
    }
    Ok(())
}

/// Renames the checkpoints after `step`, all of them damaged: rotation would keep them as the newest, and
/// remove the sound ones instead.
pub(crate) fn set_aside_after(checkpoints: &Path, step: u64) -> Result<(), TrainerError> {
    for (_, path) in list_checkpoints(checkpoints)?.into_iter().filter(|(later, _)| *later > step) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = checkpoints.join(format!("damaged-{name}"));
        // The same step was damaged before: the newer wreck replaces the older.
        let cleared = if aside.is_dir() { fs::remove_dir_all(&aside) } else { Ok(()) };
        cleared.and_then(|()| fs::rename(&path, &aside)).map_err(TrainerError::file(&path))?;
    }
    Ok(())
}

/// Removes what processes that were killed while saving left behind. The caller holds the run's lock, so
/// nobody is saving now.
pub(crate) fn remove_leftovers(checkpoints: &Path) -> Result<(), TrainerError> {
    for entry in fs::read_dir(checkpoints).map_err(TrainerError::file(checkpoints))? {
        let path = entry.map_err(TrainerError::file(checkpoints))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(TEMPORARY) && name.contains("-step-") && path.is_dir() {
            fs::remove_dir_all(&path).map_err(TrainerError::file(&path))?;
        }
    }
    Ok(())
}

fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

fn write_folder(folder: &Path, trainer: &Trainer, state: &State, config: &str) -> Result<(), TrainerError> {
    fs::create_dir_all(folder).map_err(TrainerError::file(folder))?;
    let mut manifest = Manifest { files: Vec::new() };
    let mut put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        files::write_atomic(&path, bytes).map_err(TrainerError::file(&path))?;
        let (bytes, sha256) = (bytes.len() as u64, hex(&Sha256::digest(bytes)));
        manifest.files.push(ManifestEntry { name: name.to_owned(), bytes, sha256 });
        Ok::<(), TrainerError>(())
    };
    put(MODEL, &tensor_io::serialize(trainer.params())?)?;
    put(EMA, &tensor_io::serialize(trainer.ema_weights())?)?;
    put(OPTIMIZER, &tensor_io::serialize(&trainer.adam.state()?)?)?;
    put(CONFIG, config.as_bytes())?;
    put(STATE, &json(state)?)?;
    let path = folder.join(MANIFEST);
    files::write_atomic(&path, &json(&manifest)?).map_err(TrainerError::file(&path))
}

fn verify(folder: &Path, entry: &ManifestEntry) -> Result<(), TrainerError> {
    let refuse = |path: PathBuf, reason| Err(TrainerError::Checkpoint { path, reason });
    if entry.name.contains(['/', '\\']) || entry.name.starts_with('.') {
        return refuse(
            folder.join(MANIFEST),
            format!("it lists {:?}, which is no plain file name", entry.name),
        );
    }
    let path = folder.join(&entry.name);
    let bytes = fs::read(&path).map_err(TrainerError::file(&path))?;
    if bytes.len() as u64 != entry.bytes {
        return refuse(path, format!("{} bytes, but the manifest says {}", bytes.len(), entry.bytes));
    }
    let found = hex(&Sha256::digest(&bytes));
    if found == entry.sha256 {
        Ok(())
    } else {
        refuse(path, format!("its SHA-256 is {found}, but the manifest says {}", entry.sha256))
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, TrainerError> {
    serde_json::to_vec_pretty(value).map_err(|e| TrainerError::Caller(e.into()))
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, TrainerError> {
    let bytes = fs::read(path).map_err(TrainerError::file(path))?;
    serde_json::from_slice(&bytes).map_err(|e| TrainerError::Checkpoint {
        path: path.to_owned(),
        reason: format!("not what a checkpoint has there: {e}"),
    })
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
