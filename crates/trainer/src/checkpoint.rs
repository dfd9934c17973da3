//! Converts a trainer to the files of a checkpoint and back. The crate `checkpoints` handles their layout on disk and
//! guarantees that a checkpoint is either complete or absent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use checkpoints::{AVERAGES, CONFIG, CheckpointError, EMA, MODEL, OPTIMIZER, Writer};
use config::TrainConfig;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tensor_io::Named;

use crate::adam::targets_in;
use crate::averages::Profile;
use crate::error::TrainerError;
use crate::history::LossHistory;
use crate::metrics::Interval;
use crate::recovery::Recovery;
use crate::step::Trainer;

/// The progress of a run.
pub type State = checkpoints::State<Standing>;

/// The part of the state that is neither weights nor a position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Sums since the last log line.
    pub interval: Interval,
    /// Recovery from failed steps.
    #[serde(default)]
    pub recovery: Recovery,
    /// The latest losses, if they control how levels are drawn.
    #[serde(default, skip_serializing_if = "LossHistory::is_empty")]
    pub history: LossHistory,
}

/// A checkpoint whose manifest has been verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// The state of the run.
    pub state: State,
}

impl Checkpoint {
    /// Saves the trainer's state below `checkpoints`; `config` is the resolved configuration as TOML.
    ///
    /// # Errors
    /// [`TrainerError::NonFiniteWeights`] when a number of the state is NaN or infinite, since a run could not continue
    /// from it. [`TrainerError::Checkpoint`] for example when the disk is full. Earlier checkpoints are left alone.
    /// [`TrainerError::DividedState`] for a trainer that has only a part of Adam's state: [`crate::Fit`] gathers it.
    pub fn write(
        checkpoints: &Path,
        trainer: &Trainer,
        interval: &Interval,
        config: &str,
    ) -> Result<Self, TrainerError> {
        Self::write_with(checkpoints, trainer, &trainer.adam.state()?, interval, config)
    }

    /// [`Checkpoint::write`] with the whole state of Adam.
    pub(crate) fn write_with(
        checkpoints: &Path,
        trainer: &Trainer,
        optimizer: &[Named],
        interval: &Interval,
        config: &str,
    ) -> Result<Self, TrainerError> {
        let averages = trainer.averages.named();
        let mut files: Vec<(&str, &[Named])> =
            vec![(MODEL, trainer.params()), (EMA, trainer.ema_weights()), (OPTIMIZER, optimizer)];
        if !averages.is_empty() {
            files.push((AVERAGES, &averages));
        }
        for &(file, tensors) in &files {
            check_finite(file, tensors, trainer.steps_done())?;
        }

        let mut writer = Writer::begin(checkpoints, trainer.steps_done())?;
        for &(file, tensors) in &files {
            // One file in memory at a time.
            writer.put(file, &tensor_io::serialize(tensors)?)?;
        }
        writer.put(CONFIG, config.as_bytes())?;
        let run = Standing {
            interval: interval.clone(),
            recovery: trainer.recovery.clone(),
            history: trainer.history.clone(),
        };
        let state = State::new(trainer.steps_done(), trainer.seed(), run);
        Ok(writer.commit(state)?.into())
    }

    /// Opens a checkpoint folder and verifies every file against the manifest.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`], which names the missing or altered file, or the unknown version.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        Ok(checkpoints::Checkpoint::open(path)?.into())
    }

    /// The averaged weights, for sampling.
    #[must_use]
    pub fn ema_path(&self) -> PathBuf {
        self.path.join(EMA)
    }

    /// The weights as trained.
    #[must_use]
    pub fn model_path(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Another average that the run kept, under the names of `params`; `None` if there is none with this profile.
    ///
    /// # Errors
    /// [`TrainerError::Tensors`] when the file does not belong to the run.
    pub fn kept(
        &self,
        config: &TrainConfig,
        wanted: Profile,
        params: &[Named],
    ) -> Result<Option<Vec<Named>>, TrainerError> {
        if !Profile::of_run(config).any(|profile| profile == wanted) {
            return Ok(None);
        }
        let mut found: HashMap<String, Tensor> =
            tensor_io::read(&self.path.join(AVERAGES))?.into_iter().collect();
        let own = |(name, _): &Named| {
            found.remove(&format!("{wanted}.{name}")).map(|tensor| (name.clone(), tensor))
        };
        let kept: Vec<Named> = params.iter().filter_map(own).collect();
        Ok((kept.len() == params.len()).then_some(kept))
    }

    /// Writes the same checkpoint with another average in place of its own into `folder`.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`] when it cannot be written; [`TrainerError::File`] when this one cannot be read;
    /// [`TrainerError::NonFiniteWeights`] when a number is not finite.
    pub fn with_average(&self, folder: &Path, average: &[Named]) -> Result<Self, TrainerError> {
        check_finite(EMA, average, self.state.step)?;
        self.with_ema(folder, &tensor_io::serialize(average)?)
    }

    /// Writes a copy of this checkpoint into `folder`, without the averages that are only needed to continue the run.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`] when it cannot be written; [`TrainerError::File`] when this one cannot be read.
    pub fn copied(&self, folder: &Path) -> Result<Self, TrainerError> {
        let path = self.ema_path();
        self.with_ema(folder, &std::fs::read(&path).map_err(TrainerError::file(&path))?)
    }

    /// [`Checkpoint::copied`], which also removes other checkpoints from the folder.
    ///
    /// # Errors
    /// As [`Checkpoint::copied`].
    pub fn keep_alone_in(&self, folder: &Path) -> Result<Self, TrainerError> {
        let copy = self.copied(folder)?;
        checkpoints::keep_only(folder, self.state.step)?;
        Ok(copy)
    }

    fn with_ema(&self, folder: &Path, ema: &[u8]) -> Result<Self, TrainerError> {
        let mut writer = Writer::begin(folder, self.state.step)?;
        for file in [MODEL, OPTIMIZER, CONFIG] {
            let path = self.path.join(file);
            writer.put(file, &std::fs::read(&path).map_err(TrainerError::file(&path))?)?;
        }
        writer.put(EMA, ema)?;
        Ok(writer.commit(self.state.clone())?.into())
    }

    /// Restores a trainer from this checkpoint. Returns the sums since the last log line.
    ///
    /// # Errors
    /// [`TrainerError::Checkpoint`] when the seed differs, [`TrainerError::Tensors`] when the network differs, with
    /// every difference. The trainer is then unchanged.
    pub fn restore(&self, trainer: &mut Trainer) -> Result<Interval, TrainerError> {
        if self.state.seed != trainer.seed() {
            let (expected, found) = (trainer.seed(), self.state.seed);
            return Err(CheckpointError::altered(&self.path, "seed of the run", expected, found).into());
        }
        // Read and compare everything before copying anything, so that a trainer is never a mixture.
        let (state, averages) = (trainer.adam.targets()?, trainer.averages.named());
        let optimizer = self.path.join(OPTIMIZER);
        let moments = targets_in(&optimizer, &state)?;
        let mut files: Vec<(PathBuf, &[Named])> = vec![
            (self.model_path(), trainer.params()),
            (self.ema_path(), trainer.ema_weights()),
            (optimizer, &moments),
        ];
        if !averages.is_empty() {
            files.push((self.path.join(AVERAGES), &averages));
        }
        let mut sources = Vec::new();
        for (path, targets) in &files {
            sources.push(tensor_io::read_for(path, targets)?);
        }
        for ((path, targets), sources) in files.iter().zip(&sources) {
            tensor_io::copy_into(path, sources, targets)?;
        }
        trainer.adam.restored(state)?;
        trainer.step = self.state.step;
        trainer.recovery = self.state.run.recovery.clone();
        // One without losses is not saved; one with parts that its chain could not fill is of no use.
        let history = &self.state.run.history;
        if !history.is_empty() && history.is_like(&trainer.history) {
            trainer.history = history.clone();
        }
        Ok(self.state.run.interval.clone())
    }
}

impl From<checkpoints::Checkpoint<Standing>> for Checkpoint {
    fn from(checkpoints::Checkpoint { path, state }: checkpoints::Checkpoint<Standing>) -> Self {
        Self { path, state }
    }
}

/// The entries below `checkpoints` with the name of a checkpoint, by step, not verified.
///
/// # Errors
/// [`TrainerError::Checkpoint`] when the folder cannot be read.
pub fn list_checkpoints(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>, TrainerError> {
    Ok(checkpoints::list(checkpoints)?)
}

/// The newest checkpoint that verifies, if there is one, and why newer ones were skipped.
///
/// # Errors
/// [`TrainerError::Checkpoint`] when the folder cannot be read.
pub fn latest_checkpoint(
    checkpoints: &Path,
) -> Result<(Option<Checkpoint>, Vec<TrainerError>), TrainerError> {
    let (latest, refused) = checkpoints::latest(checkpoints)?;
    Ok((latest.map(Into::into), refused.into_iter().map(Into::into).collect()))
}

/// Refuses the first tensor that contains NaN or infinity.
fn check_finite(file: &'static str, tensors: &[Named], step: u64) -> Result<(), TrainerError> {
    for (name, tensor) in tensors {
        let finite = tensor.f_isfinite()?.f_all()?;
        if i64::try_from(&finite)? == 0 {
            return Err(TrainerError::NonFiniteWeights { file, tensor: name.clone(), step });
        }
    }
    Ok(())
}
