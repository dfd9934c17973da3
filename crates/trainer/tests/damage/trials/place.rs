//! Two valid checkpoints of a small network, and copies of them to damage.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoints::{FILES, MANIFEST, Manifest, ManifestEntry};
use schedule::Schedule;
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{Batch, BoxError, Checkpoint, Interval, TrainConfig, Trainer};

pub(crate) const OLDER_STEP: u64 = 2;
pub(crate) const NEWEST_STEP: u64 = 4;
/// The network's tensors and their shapes.
pub(crate) const TENSORS: [(&str, [i64; 2]); 3] =
    [("in.weight", [3, 4]), ("in.bias", [1, 3]), ("out", [2, 5])];

/// A fresh network and its trainer.
pub(crate) fn trainer() -> Result<(Vec<Named>, Trainer), BoxError> {
    let tensor = |&(name, shape): &(&str, [i64; 2])| {
        let tensor = Tensor::f_ones(shape, (Kind::Float, Device::Cpu))?.f_mul_scalar(0.01)?;
        Ok((name.to_owned(), tensor.set_requires_grad(true)))
    };
    let params = TENSORS.iter().map(tensor).collect::<Result<Vec<Named>, BoxError>>()?;
    let trainer = Trainer::new(&params, &Schedule::ddpm(), &config(), 3, Device::Cpu)?;
    Ok((params, trainer))
}

/// All numbers of a network.
pub(crate) fn numbers(params: &[Named]) -> Result<Vec<f32>, BoxError> {
    let mut numbers = Vec::new();
    for (_, tensor) in params {
        numbers.extend(tensor_io::to_vec(&tensor.detach())?);
    }
    Ok(numbers)
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: NEWEST_STEP,
        batch: 2,
        lr: 0.01,
        warmup_steps: 0,
        ema_decay: 0.9,
        ema_warmup: true,
        flip: false,
        log_every: 1,
        sample_every: 0,
        checkpoint_every: OLDER_STEP,
        keep_checkpoints: 2,
        ..TrainConfig::default()
    }
}

/// The valid checkpoints, made once.
pub(crate) struct Template(tempfile::TempDir);

impl Template {
    pub(crate) fn new() -> Result<Self, BoxError> {
        let folder = tempfile::tempdir()?;
        let (params, mut trainer) = trainer()?;
        let weights: Vec<Tensor> = params.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
        let model = |x_t: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            let mut scale = Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?;
            for weight in &weights {
                scale = scale.f_add(&weight.f_sum(Kind::Float)?)?;
            }
            Ok(x_t.f_mul(&scale)?)
        };
        let mut interval = Interval::default();
        for step in 1..=NEWEST_STEP {
            let images = Tensor::f_ones([2, 1, 4, 4], (Kind::Float, Device::Cpu))?;
            let report = trainer.train_step(&Batch { images, labels: None }, &model)?;
            interval.add(&report, trainer.timesteps());
            if step % OLDER_STEP == 0 {
                Checkpoint::write(folder.path(), &trainer, &interval, "seed = 3\n")?;
            }
        }
        Ok(Self(folder))
    }

    /// A copy to damage.
    pub(crate) fn copy(&self) -> Result<Place, BoxError> {
        let place = Place(tempfile::tempdir()?);
        for folder in [place.newest(), place.older()] {
            let name = folder.file_name().unwrap_or_default();
            fs::create_dir(&folder)?;
            for file in FILES.iter().chain([&MANIFEST]) {
                fs::copy(self.0.path().join(name).join(file), folder.join(file))?;
            }
        }
        Ok(place)
    }
}

/// A folder with the two checkpoints.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The checkpoint to damage.
    pub(crate) fn newest(&self) -> PathBuf {
        self.path().join(checkpoints::folder_name(NEWEST_STEP))
    }

    /// The previous checkpoint.
    pub(crate) fn older(&self) -> PathBuf {
        self.path().join(checkpoints::folder_name(OLDER_STEP))
    }

    /// A file of the newest checkpoint.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.newest().join(name)
    }

    /// Makes the manifest of the newest checkpoint agree with its files, as a forger would.
    pub(crate) fn sign(&self) -> Result<(), BoxError> {
        let entry =
            |name: &&str| -> Result<_, BoxError> { Ok(ManifestEntry::of(name, &fs::read(self.file(name))?)) };
        let files = FILES.iter().map(entry).collect::<Result<_, _>>()?;
        fs::write(self.file(MANIFEST), serde_json::to_vec_pretty(&Manifest { files })?)?;
        Ok(())
    }
}
