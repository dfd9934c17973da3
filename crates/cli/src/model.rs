//! A trained network from a run folder or a model folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use interchange::diffusers;
use sampler::{BoxError, Method, SamplerConfig};
use schedule::NoisePath;
use tch::{Device, Kind, Tensor};
use tracing::{info, warn};
use trainer::{Checkpoint, FoundRun, TrainConfig, runs_newest_first};
use unet::{Backbone, Pass, Predictor};

use crate::config::{Config, ConfigError, ImagesConfig};
use crate::device::{self, Precision};
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs};
use crate::model_source::Source;
use crate::{adapter, networks, noise_end};

/// Most damaged checkpoints to name when they are skipped.
const REFUSED_SHOWN: usize = 3;

/// Default folder for runs.
pub(crate) const RUNS: &str = "runs";

/// The variable in which a package's launcher names its own model (`xtask/src/package/launcher.sh`).
const PACKAGED: &str = "DDPM_MODEL";

/// A network ready to predict, and what it was trained on.
pub(crate) struct Loaded {
    pub(crate) net: Box<dyn Backbone>,
    pub(crate) config: Config,
    pub(crate) images: ImagesConfig,
    pub(crate) path: Box<dyn NoisePath>,
    /// Steps it was trained for.
    pub(crate) step: u64,
    pub(crate) checkpoint: PathBuf,
    pub(crate) run: Option<PathBuf>,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
}

impl Loaded {
    /// Finds and loads what the flags name.
    pub(crate) fn open(args: &ModelArgs, global: &Global) -> anyhow::Result<Self> {
        let on = device::select(global)?;
        let (source, run) = args.find()?;
        Self::load(source, run, args, on)
    }

    /// Loads a network that has been found, with the general settings of `args`.
    pub(crate) fn load(
        source: Source,
        run: Option<PathBuf>,
        args: &ModelArgs,
        device: Device,
    ) -> anyhow::Result<Self> {
        let precision = Precision::settle(&args.precision, device)?;
        source.check(args.any_size)?;
        let Source { place, mut config, weights, step, .. } = source;
        let images = config.images.clone();
        let images = images.with_context(|| format!("{}: no [images] group", place.display()))?;
        let path = config.schedule.path()?;
        noise_end::check_path(&*path);
        let net = networks::load(&config, &weights, device).with_context(|| place.display().to_string())?;
        config.model.adapter_rank = None;
        if let Some(file) = &args.adapter {
            adapter::apply(file, &*net)?;
        }
        Ok(Self { net, config, images, path, step, checkpoint: place, run, device, precision })
    }

    /// The network as a sampler calls it; the configuration defines the meaning of its output.
    pub(crate) fn predictor(
        &self,
    ) -> anyhow::Result<impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + use<>> {
        predictor(&*self.net, self.precision.kind())
    }

    /// A sampler for the network's kind of output.
    pub(crate) fn sampler_config(&self, method: Method) -> SamplerConfig {
        sampler_config(&self.config.train, method)
    }

    /// The shape `[count, c, h, w]` of the network's images.
    pub(crate) fn shape(&self, count: usize) -> [i64; 4] {
        let images = &self.images;
        [count, images.channels, images.height, images.width].map(|n| n as i64)
    }
}

impl ModelArgs {
    /// Finds the model that the flags name, and its run.
    pub(crate) fn find(&self) -> anyhow::Result<(Source, Option<PathBuf>)> {
        let run = match (&self.model, &self.run) {
            (Some(model), _) => return Ok((Source::open(model, "--model", self.weights)?, None)),
            (None, Some(run)) => {
                refuse_model(run, self.best)?;
                run.to_path_buf()
            }
            (None, None) => {
                if let Some(model) = self.packaged() {
                    info!("using {}", model.display());
                    return Ok((Source::open(&model, PACKAGED, self.weights)?, None));
                }
                let found = runs_newest_first(Path::new(RUNS));
                if self.takes_shipped(&found) {
                    let source = Source::shipped()?;
                    info!("no run found in {RUNS}/; using the shipped model {}", about(&source.config));
                    return Ok((source, None));
                }
                let run = with_checkpoint(found, Path::new(RUNS))?;
                info!("using {}", run.display());
                run
            }
        };
        Ok((Source::of_checkpoint(&checkpoint_of(&run, self.best)?, self.weights)?, Some(run)))
    }

    /// Whether the model built into the program is used: no flag names another, and these runs are none. It has no best
    /// checkpoint.
    pub(crate) fn takes_shipped(&self, runs: &[FoundRun]) -> bool {
        let is_named = self.run.is_some() || self.model.is_some() || self.best;
        !is_named && runs.is_empty() && shipped::file().is_some()
    }

    /// The model of the package that this program is part of, if there are no runs here. It has no best checkpoint.
    pub(crate) fn packaged(&self) -> Option<PathBuf> {
        let model = std::env::var_os(PACKAGED).filter(|model| !model.is_empty())?;
        (!self.best && runs_newest_first(Path::new(RUNS)).is_empty()).then(|| model.into())
    }
}

/// The shipped model in a few words: `fashion-28 (10 classes, 28x28 images)`.
fn about(config: &Config) -> String {
    let classes = config.model.classes.map(|classes| format!("{classes} classes, ")).unwrap_or_default();
    let (height, width, _) = config.images.as_ref().map_or((0, 0, 0), ImagesConfig::inner_shape);
    format!("{} ({classes}{width}x{height} images)", shipped::NAME)
}

/// Refuses a model where a run is expected, and says how to pass it.
fn refuse_model(run: &Path, best: bool) -> anyhow::Result<()> {
    let found = if run.join("checkpoints").is_dir() {
        return Ok(());
    } else if run.join("manifest.json").is_file() {
        "a checkpoint"
    } else if diffusers::is_model(run) {
        "a diffusers folder"
    } else if run.is_file() {
        "a file"
    } else {
        return Ok(());
    };
    let place = run.display();
    if best {
        bail_usage!("--run {place}: --best expects a run folder, found {found}; pass the folder of its run");
    }
    bail_usage!("--run {place}: expected a run folder, found {found}; use --model {place}");
}

/// A sampler for a network's kind of output, with defaults for everything else.
pub(crate) fn sampler_config(train: &TrainConfig, method: Method) -> SamplerConfig {
    SamplerConfig {
        prediction: train.output(),
        learned_variance: train.outputs_per_channel() == 2,
        ..SamplerConfig::new(method)
    }
}

/// A network as a sampler calls it, with its current weights.
pub(crate) fn predictor(
    net: &dyn Backbone,
    kind: Kind,
) -> anyhow::Result<impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + use<>> {
    let network = Predictor::new(net, &Pass::eval().with_kind(kind))?;
    Ok(move |x_t: &Tensor, t: &Tensor| Ok(network.predict(x_t, t, None)?))
}

/// Refuses a configuration that needs more than the weights suggest.
pub(crate) fn check(config: &Config, path: &Path, any_size: bool) -> anyhow::Result<()> {
    config.model.validate()?;
    let sizes = if any_size { Ok(()) } else { config.check_sizes() };
    config
        .check_images()
        .and(sizes)
        .map_err(|error| ConfigError::InRun { path: path.to_owned(), error: Box::new(error) }.into())
}

/// The newest valid checkpoint of a run, or the best one by its evaluations.
fn checkpoint_of(run: &Path, best: bool) -> anyhow::Result<Checkpoint> {
    if !best {
        return newest_checkpoint(run);
    }
    let folder = run.join("best");
    let (found, refused) = match folder.is_dir() {
        true => trainer::latest_checkpoint(&folder)?,
        false => (None, Vec::new()),
    };
    if let (None, Some(first)) = (&found, refused.into_iter().next()) {
        return Err(anyhow::Error::new(first).context(format!("--best: {}: damaged", folder.display())));
    }
    found.ok_or_else(|| {
        usage(anyhow!(
            "--best: {} has no best checkpoint; a run keeps one if it evaluates itself (train --set train.evaluate_every=N) on \
             images for which there are features",
            run.display()
        ))
    })
}

/// The newest valid checkpoint of the run that `--run` names.
pub(crate) fn newest_checkpoint(run: &Path) -> anyhow::Result<Checkpoint> {
    newest_checkpoint_of(run, "--run")
}

/// The newest valid checkpoint of the run that a flag or argument names.
pub(crate) fn newest_checkpoint_of(run: &Path, flag: &str) -> anyhow::Result<Checkpoint> {
    let checkpoints = run.join("checkpoints");
    if !checkpoints.is_dir() {
        return Err(usage(anyhow!(
            "{flag} {}: {}",
            run.display(),
            match run.join("manifest.json").is_file() {
                true => "a checkpoint; expected its run folder".to_owned(),
                false => format!(
                    "not a run folder (no checkpoints in it); create one with `ddpm train --run {}`",
                    run.display()
                ),
            }
        )));
    }
    let (latest, refused) = trainer::latest_checkpoint(&checkpoints)?;
    for error in refused.iter().take(REFUSED_SHOWN) {
        warn!("skipping a damaged checkpoint: {error}");
    }
    if refused.len() > REFUSED_SHOWN {
        warn!("skipping {}", files::counted(refused.len() - REFUSED_SHOWN, "more damaged checkpoint"));
    }
    latest.ok_or_else(|| match refused.into_iter().next() {
        Some(first) => {
            anyhow::Error::new(first).context(format!("{flag} {}: no valid checkpoint", run.display()))
        }
        None => anyhow!("{flag} {}: no checkpoint yet", run.display()),
    })
}

/// The run that was written to last.
pub(crate) fn newest_run(runs: &Path) -> anyhow::Result<PathBuf> {
    newest(runs_newest_first(runs), runs)
}

fn newest(found: Vec<FoundRun>, runs: &Path) -> anyhow::Result<PathBuf> {
    match found.into_iter().next() {
        Some(run) => Ok(run.path),
        None => bail!("no run in {}: train one with `ddpm train`, or pass one with --run", runs.display()),
    }
}

/// The run that was written to last among those with a checkpoint.
pub(crate) fn newest_with_checkpoint(runs: &Path) -> anyhow::Result<PathBuf> {
    with_checkpoint(runs_newest_first(runs), runs)
}

fn with_checkpoint(found: Vec<FoundRun>, runs: &Path) -> anyhow::Result<PathBuf> {
    let Some(saved) = found.iter().position(|run| run.has_checkpoint) else { return newest(found, runs) };
    if let Some(newer) = found[..saved].first() {
        warn!("skipping {}, which has no checkpoint yet", newer.path.display());
    }
    Ok(found[saved].path.clone())
}
