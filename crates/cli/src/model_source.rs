//! What `--model` names: a checkpoint folder, a single file that also holds its configuration, a folder in the layout of the
//! library `diffusers`, or the model that is built into the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use interchange::{diffusers, state_dict};
use tensor_io::Header;
use trainer::Checkpoint;

use crate::config::{self, Config};
use crate::failure::usage;
use crate::flags::Weights;
use crate::model;

/// Metadata keys of a single file: its configuration as the text of a `config.toml`, and the steps it was trained for.
pub(crate) const CONFIG: &str = "ddpm.config";
pub(crate) const STEP: &str = "ddpm.step";

/// The name of the model that is built into the program. A file or folder of this name is `./shipped`.
pub(crate) const SHIPPED: &str = "shipped";

/// A network that has been found but not built yet.
pub(crate) struct Source {
    /// The folder or the file; [`SHIPPED`] for the model in the program.
    pub(crate) place: PathBuf,
    pub(crate) config: Config,
    /// The file with the configuration, for messages.
    pub(crate) config_file: PathBuf,
    pub(crate) weights: WeightFiles,
    /// Steps it was trained for; 0 if unknown.
    pub(crate) step: u64,
}

/// Files of weights.
pub(crate) enum WeightFiles {
    /// One file of a checkpoint, with this project's names, all f32.
    Own(PathBuf),
    /// One file of `ddpm export`: the same names, in f32, f16 or bf16.
    Exported(PathBuf),
    /// The bytes of such a file in the program.
    Shipped(&'static [u8]),
    /// Files with the names of any version of `diffusers`.
    Diffusers(Vec<PathBuf>),
    /// A file of another codebase, and where it has each weight.
    StateDict(PathBuf, Vec<state_dict::Weight>),
}

impl Source {
    /// Opens what a flag names.
    pub(crate) fn open(path: &Path, flag: &'static str, weights: Weights) -> anyhow::Result<Self> {
        if is_shipped(path) {
            return Self::shipped().context(flag);
        }
        // An existing but unreadable checkpoint is not reported as a wrong folder.
        if path.join("manifest.json").symlink_metadata().is_ok() {
            return Self::of_checkpoint(&Checkpoint::open(path).context(flag)?, weights);
        }
        if path.is_file() {
            return Self::of_file(path).context(flag);
        }
        if diffusers::is_model(path) {
            return Self::of_diffusers(path).context(flag);
        }
        Err(usage(anyhow!(
            "{flag} {}: expected a checkpoint folder, such as RUN/checkpoints/step-00001000, a file of `ddpm export`, a folder of \
             diffusers or `shipped`, found none{}",
            path.display(),
            if flag == "--model" { "; for a run folder use --run" } else { "" }
        )))
    }

    pub(crate) fn of_checkpoint(checkpoint: &Checkpoint, weights: Weights) -> anyhow::Result<Self> {
        let config_file = checkpoint.path.join("config.toml");
        Ok(Self {
            place: checkpoint.path.clone(),
            config: config::read_run(&config_file)?,
            config_file,
            weights: WeightFiles::Own(match weights {
                Weights::Ema => checkpoint.ema_path(),
                Weights::Raw => checkpoint.model_path(),
            }),
            step: checkpoint.state.step,
        })
    }

    fn of_file(path: &Path) -> anyhow::Result<Self> {
        let header = tensor_io::read_header(path)?;
        Self::exported(path, &header, WeightFiles::Exported(path.to_owned()))
    }

    /// The model that is built into the program.
    pub(crate) fn shipped() -> anyhow::Result<Self> {
        let Some(bytes) = shipped::file() else {
            return Err(usage(anyhow!(
                "{SHIPPED}: expected a program with a model in it, found one that was built without; name a model with --model"
            )));
        };
        let place = Path::new(SHIPPED);
        Self::exported(place, &tensor_io::parse_header(place, bytes)?, WeightFiles::Shipped(bytes))
    }

    fn exported(path: &Path, header: &Header, weights: WeightFiles) -> anyhow::Result<Self> {
        let strings = &header.metadata;
        let Some(text) = strings.get(CONFIG) else {
            return Err(usage(anyhow!(
                "{}: expected a file of `ddpm export`, found no configuration in it (no string {CONFIG} in its header)",
                path.display()
            )));
        };
        let config = config::from_toml(text).with_context(|| format!("{}: {CONFIG}", path.display()))?;
        let step = strings.get(STEP).and_then(|step| step.parse().ok()).unwrap_or(0);
        Ok(Self { place: path.to_owned(), config, config_file: path.to_owned(), weights, step })
    }

    fn of_diffusers(folder: &Path) -> anyhow::Result<Self> {
        let found = diffusers::open(folder)?;
        let config = found.config();
        config.validate().with_context(|| folder.display().to_string())?;
        let weights = WeightFiles::Diffusers(found.weights);
        let config_file = folder.to_owned();
        Ok(Self { place: folder.to_owned(), config, config_file, weights, step: 0 })
    }

    /// A file of another codebase that has been compared with the network.
    pub(crate) fn of_state_dict(path: &Path, model: state_dict::Model) -> Self {
        let weights = WeightFiles::StateDict(path.to_owned(), model.weights);
        Self { place: path.to_owned(), config: model.config, config_file: path.to_owned(), weights, step: 0 }
    }

    /// Refuses a configuration that needs more than the weights suggest.
    pub(crate) fn check(&self, any_size: bool) -> anyhow::Result<()> {
        model::check(&self.config, &self.config_file, any_size)
    }
}

/// Whether a path is the name of the model that is built into the program.
pub(crate) fn is_shipped(path: &Path) -> bool {
    path.as_os_str() == SHIPPED
}

/// The metadata of a single file.
pub(crate) fn strings(config: &Config, step: u64) -> anyhow::Result<BTreeMap<String, String>> {
    let strings = [(CONFIG, config::to_toml(config)?), (STEP, step.to_string())];
    Ok(strings.map(|(key, text)| (key.to_owned(), text)).into())
}
