//! `ddpm train`: Algorithm 1 on the user's images.

mod batch;
pub(crate) mod distill;
mod dry_run;
mod ending;
mod evaluating;
mod facts;
mod feed;
mod init;
mod pace;
mod resume;
mod together;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use dataset::Dataset;
use distributed::World;
use serde_json::json;
use tch::{Device, Tensor};
use tracing::{info, warn};
use trainer::{BoxError, Fit, Outcome, RunFolder, Trainer};
use unet::Pass;

use crate::config::{self, Change, Config, Layers, Override, UserFile, parse_set};
use crate::device::{self, Precision};
use crate::exit::ExitCode;
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, Weights};
use crate::memory;
use crate::model::RUNS;
use crate::networks;
use crate::paths::{self, DataSource, InputPath, OutputFile, OutputFolder};
use crate::signals::Signals;
use crate::{noise_end, output, ranks};
use batch::BatchSize;
use ending::Ending;
use evaluating::Evaluating;
use feed::Feed;
use init::Init;
use watch::Watch;

/// Trains a network. The same command continues an interrupted run.
#[derive(Debug, Args)]
#[command(
    after_help = "The same command continues an interrupted run. With --resume, --set may change train.steps, lr, \
micro_batch, checkpoint_activations, on_nan, log_every, sample_every, evaluate_every, \
evaluate_count, checkpoint_every and keep_checkpoints, sample.*, data.memory and precision; --data \
is the new place of the images. --init-from keeps the network, schedule and output of its weights. \
ddpm config reference explains every key, ddpm config presets every preset and objective.

Examples:
  ddpm train                                 the embedded set, minutes on a CPU
  ddpm train --data photos/ --set data.size=64 --batch auto --run runs/photos
  ddpm train --objective ddpm                with the paper's objective
  ddpm train --data photos/ --dry-run        show the plan and how long it takes
  ddpm train --init-from runs/photos --data cats/ --set train.lr=5e-5
  ddpm train --preset ddpm-cifar10 --data cifar-10-batches-bin --device cuda

If a dataset has parts (train, validation, test), the training part is used; --data photos:test \
selects another one. With train.flip = true, half of the images are mirrored left to right. Only \
the presets ddpm-cifar10, small-32 and tiny-16 do so by default, and only their own images."
)]
pub(crate) struct Train {
    #[arg(
        long,
        value_name = "NAME",
        help = format!("Preset: {} [default: depends on the data]", config::names(config::PRESETS)),
    )]
    preset: Option<String>,
    #[arg(
        long,
        value_name = "NAME",
        help = format!("Training objective, over the preset: {} [default: the preset's]", config::names(config::OBJECTIVES)),
    )]
    objective: Option<String>,
    /// Configuration file, over preset and objective
    #[arg(long, value_name = "FILE")]
    config: Option<InputPath>,
    /// The same, of another command.
    #[arg(skip)]
    layer: Option<UserFile>,
    /// Images: a folder, zip archive or tar shards, an IDX, CIFAR, npy, npz or (with the feature) Parquet file, or fashion-mnist
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// For unreadable images: fail (after checking all images) or skip them [default: fail]
    #[arg(long, value_name = "WHAT")]
    on_bad: Option<String>,
    /// If loss or gradients are not finite: stop, skip the step, or rollback to the last checkpoint [default: stop]
    #[arg(long, value_name = "WHAT")]
    on_nan: Option<String>,
    /// Images per step; auto: the default, in parts that fit in memory [default: train.batch of the preset]
    #[arg(long, value_name = "N|auto")]
    batch: Option<BatchSize>,
    /// Recompute activations in the backward pass: less memory, a third more work, the same results
    #[arg(long)]
    checkpoint_activations: bool,
    /// Fine-tune this model: a run folder, or any --model value
    #[arg(long, value_name = "PATH")]
    init_from: Option<InputPath>,
    /// Weights of a checkpoint: ema or raw (as trained)
    #[arg(long, value_name = "SET", value_enum, default_value_t = Weights::Ema, hide_possible_values = true)]
    init_weights: Weights,
    /// Run folder [default: runs/PRESET, PRESET-OBJECTIVE or PRESET-tuned]
    #[arg(long, value_name = "DIR")]
    run: Option<OutputFolder>,
    /// Continue the run in --run; few values may change: see below
    #[arg(long)]
    resume: bool,
    /// Override one value, such as train.lr=1e-4; may be repeated, the last one counts
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the complete configuration, explained, and exit
    #[arg(long)]
    dump_config: bool,
    /// Show what would be trained and how long it would take, and exit
    #[arg(long, conflicts_with = "dump_config")]
    dry_run: bool,
    /// Preview of the images for --dry-run
    #[arg(long, value_name = "FILE", default_value = "out/preview.png", requires = "dry_run")]
    preview: OutputFile,
}

/// The settings of a run.
struct Plan {
    config: Config,
    dataset: Dataset,
    run: PathBuf,
    /// Initial weights of a new run, unless they are drawn from its seed.
    init: Option<Init>,
}

impl Train {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let signals = Signals::install()?;
        ranks::check()?;
        let device = device::select(global)?;
        // Check this before opening the data, which may take minutes.
        if let Some(run) = self.run.as_deref().filter(|_| !(self.dump_config || self.dry_run)) {
            output::try_folder("--run", run, &[])?;
        }
        let mut plan = if self.resume { self.resumed()? } else { self.fresh()? };
        let precision = Precision::settle(&plan.config.precision, device)?;
        precision.name().clone_into(&mut plan.config.precision);
        if (self.dump_config || self.dry_run) && !ranks::is_first() {
            return Ok(ExitCode::SUCCESS);
        }
        if self.dump_config {
            let text = match global.json {
                true => serde_json::to_string(&plan.config)?,
                false => config::to_commented_toml(&plan.config)?,
            };
            output::print(text.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.dry_run {
            if self.batch == Some(BatchSize::Auto) {
                plan.config.train.micro_batch = batch::fitting(&plan.config, global)?;
            }
            if !self.resume && trainer::is_run(&plan.run)? {
                same_run(&plan.run, &mut plan.config, &plan.dataset)?;
            }
            return plan.dry_run(&self.preview, device, global).map(|()| ExitCode::SUCCESS);
        }
        let world = self.meet(&plan.config, device)?;
        if !world.is_first() {
            return plan.follow(world, &signals, device);
        }
        output::try_folder("--run", &plan.run, &[])?;
        for within in ["checkpoints", "samples"].map(|name| plan.run.join(name)) {
            if within.exists() {
                output::try_folder("--run", &within, &[])?;
            }
        }
        let folder = RunFolder::open(&plan.run)?;
        if self.batch == Some(BatchSize::Auto) {
            plan.config.train.micro_batch = match self.found_before(&folder, &plan.config)? {
                Some(found) => found,
                None => batch::fitting(&plan.config, global)?,
            };
        }
        self.settle_config(&folder, &mut plan.config, &plan.dataset)?;
        plan.train(&folder, world, &signals, device, global)
    }

    /// The plan for the flags of a new run.
    fn fresh(&self) -> anyhow::Result<Plan> {
        let set = self.changes()?;
        let read = self.config.as_deref().map(UserFile::read).transpose()?;
        let file = read.as_ref().or(self.layer.as_ref());
        let mut init =
            self.init_from.as_deref().map(|path| Init::open(path, self.init_weights)).transpose()?;
        let layers = Layers {
            preset: self.preset.as_deref(),
            objective: self.objective.as_deref(),
            file,
            data: None,
            set: &set,
            init: init.as_ref().map(Init::source),
        };
        let mut resolved = config::resolve(&layers)?;
        let mut name = match &resolved.objective {
            Some(objective) => format!("{}-{objective}", resolved.preset),
            None => resolved.preset.clone(),
        };
        if let (None, Some(rank)) = (&init, resolved.config.model.adapter_rank) {
            bail_usage!(
                "model.adapter_rank = {rank}: adapters are trained on a trained network; name it with --init-from"
            );
        }
        if let Some(init) = &mut init {
            init.settle(&mut resolved.config)?;
            name += "-tuned";
        }
        let run = self.run.as_deref().map_or_else(|| Path::new(RUNS).join(name), Path::to_owned);
        Ok(Plan { config: resolved.config, dataset: resolved.dataset, run, init })
    }

    /// The overrides of `--set` and of flags with the same meaning; they must not conflict.
    fn changes(&self) -> anyhow::Result<Vec<Override>> {
        let mut set = self.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
        let text = |key: &str, text: &Option<String>| text.as_ref().map(|text| Override::text(key, text));
        let images = match self.batch {
            Some(BatchSize::Images(images)) => Some(parse_set(&format!("train.batch={images}"))?),
            Some(BatchSize::Auto) if set.iter().any(|change| change.key() == "train.micro_batch") => {
                bail_usage!("--batch auto chooses train.micro_batch; leave one of the two out")
            }
            _ => None,
        };
        let again = self.checkpoint_activations.then(|| parse_set("train.checkpoint_activations=true"));
        let flags = [
            ("--data", self.data.as_deref().map(|data| Override::text("data.source", data))),
            ("--on-bad", text("data.on_bad", &self.on_bad)),
            ("--on-nan", text("train.on_nan", &self.on_nan)),
            ("--batch", images),
            ("--checkpoint-activations", again.transpose()?),
        ];
        for (flag, change) in flags.into_iter().filter_map(|(flag, change)| Some((flag, change?))) {
            if set.iter().any(|other| other.key() == change.key() && *other != change) {
                bail_usage!("{flag} and --set {}: conflict; leave one of the two out", change.key());
            }
            set.push(change);
        }
        Ok(set)
    }

    /// Writes the configuration of a new run, or checks it against that of the existing run.
    fn settle_config(
        &self,
        folder: &RunFolder,
        config: &mut Config,
        dataset: &Dataset,
    ) -> anyhow::Result<()> {
        let path = folder.config_path();
        if !self.resume {
            // An unreadable configuration is not replaced.
            if path.symlink_metadata().is_ok() {
                same_run(folder.path(), config, dataset)?;
            } else {
                config.id = Some(config.fingerprint()?);
            }
            resume::check(folder.path(), config)?;
        }
        let text = config::to_toml(config)?;
        if std::fs::read(&path).is_ok_and(|before| before == text.as_bytes()) {
            return Ok(());
        }
        files::write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())
    }
}

/// Compares a configuration with that of the existing run.
fn same_run(run: &Path, config: &mut Config, dataset: &Dataset) -> anyhow::Result<()> {
    let before = config::read_run(&run.join("config.toml"))?;
    // Images that were streamed may fit in memory now, or the other way round.
    if let (Some(was), Some(is)) = (&before.images, &mut config.images)
        && was.sha256 == dataset.fingerprint_like(&was.sha256)?
    {
        is.sha256.clone_from(&was.sha256);
    }
    init::keep_place(&before, config, run)?;
    config.id.clone_from(&before.id);
    let changes = config::changes(&before, config)?;
    // The images are compared by their hash, so they may have moved.
    let moved = matches!(&changes[..], [only] if only.key == "data.source");
    if changes.is_empty() || moved { Ok(()) } else { Err(other_configuration(run, changes)) }
}

/// The error for a run folder that holds a run with another configuration.
fn other_configuration(run: &Path, mut changes: Vec<Change>) -> anyhow::Error {
    // Other data has other counts and hashes; the user's own changes are more helpful.
    if changes.iter().any(|change| !change.key.starts_with("images.")) {
        changes.retain(|change| !change.key.starts_with("images."));
    }
    let shown = changes.iter().take(3).map(Change::to_string).collect::<Vec<_>>().join("; ");
    usage(anyhow!(
        "--run {} holds a run of another configuration ({shown}): continue that one with --resume, or choose \
         another --run",
        run.display()
    ))
}

impl Plan {
    fn train(
        mut self,
        folder: &RunFolder,
        world: World,
        signals: &Signals,
        device: Device,
        global: &Global,
    ) -> anyhow::Result<ExitCode> {
        let config = &self.config;
        let _limit = memory::limit(device);
        if config.train.micro_batch == 0 {
            memory::keep_freed();
        }
        let path = config.schedule.path()?;
        noise_end::check_path(&*path);
        let text = config::to_toml(config)?;
        let fit = Fit { folder, config: &text, stop: &signals.stop };
        let newest = fit.newest()?;
        if let Some(checkpoint) = &newest {
            // Check before building the network, which may take a lot of memory.
            networks::check_weights(&config.model, &checkpoint.model_path())?;
        } else if self.init.is_none() {
            init::check_given(config, folder.path())?;
        }
        let net = networks::build(&config.model, path.steps(), device, config.seed)?;
        // A continued run has all of it in its checkpoint.
        if let Some(init) = self.init.take().filter(|_| newest.is_none()) {
            init.load_into(&*net, config)?;
        }
        let mut trainer = Trainer::new(net.params(), &*path, &config.train, config.seed, device)?;
        let place = (world.rank(), world.size());
        // Before the checkpoint is read: this rank may keep only a share of it.
        ranks::connect(&mut trainer, world)?;
        let resumed = fit.restore(&mut trainer, newest.as_ref())?;
        let resumed = trainer.share_state(resumed)?;
        // From here on there is something to save.
        signals.hold();
        let first = trainer.steps_done();
        self.dataset.notes().iter().for_each(|note| info!("--data: {note}"));
        if config.train.warmup_steps >= config.train.steps {
            warn!(
                "train.warmup_steps = {}, but the run has {}: the learning rate never reaches {}",
                config.train.warmup_steps,
                files::counted(config.train.steps, "step"),
                config.train.lr
            );
        }
        if config.train.flip {
            info!(
                "half of the images are mirrored left to right (train.flip = true); --set train.flip=false for letters, \
                 digits and other images that must not be mirrored"
            );
        }
        facts::varied(config).iter().for_each(|how| info!("images: {how}"));
        let (height, width, channels) = self.dataset.shape();
        let classes = config.model.classes.map(|n| format!(" of {}", files::counted(n, "class")));
        let classes = classes.unwrap_or_default();
        info!(
            "{} {width}x{height}x{channels}{classes}, {:.1}M parameters, {} on {}, steps {first} to {}",
            output::images(self.dataset.len()),
            net.param_count() as f64 / 1e6,
            config.precision,
            crate::device::name(device),
            config.train.steps,
        );
        together::tell(config, &trainer);
        if !config.train.freeze.is_empty() {
            info!("{}", facts::trained(trainer.trained_numbers()));
        }
        if config.model.classes.is_none() && self.dataset.classes() > 1 {
            info!("labels: {}", facts::labels(&self.dataset, config));
        }
        if let Some(classes) = config.model.classes.filter(|&n| n > self.dataset.classes()) {
            let of_data = self.dataset.classes();
            warn!("model.classes = {classes}: the data has {of_data}; the other classes will not be learned");
        }
        if first >= config.train.steps {
            info!("this run is finished; raise train.steps with --resume --set train.steps=N to go on");
        }

        let begun = Instant::now();
        let plan = feed::share(config, self.dataset.len(), place)?;
        let mut feed = Feed::new(&self.dataset, plan, config.model.classes.is_some(), first)?;
        let kind = Precision::settle(&config.precision, device)?.kind();
        let pass = Pass::train().with_kind(kind).with_checkpoints(config.train.checkpoint_activations);
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(net.forward(x_t, t, labels, &pass)?)
        };
        let evaluating = Evaluating::open(config, &*net, global)?;
        let mut watch = Watch::new(config, folder, device, global, first, &signals.stop)?.with(evaluating);
        let outcome =
            fit.run(&mut trainer, resumed.unwrap_or_default(), |step| feed.batch(step), &model, &mut watch)?;
        if outcome == Outcome::Stopped {
            together::agree_on_signal(&trainer, signals);
        }
        watch.close();
        let seconds = begun.elapsed().as_secs_f64();
        let done = trainer.steps_done();
        let summary = json!({
            "run": paths::text(folder.path()), "steps": done, "seconds": seconds, "loss": watch.last_loss(),
            "finished": outcome == Outcome::Finished, "last_grid": watch.last_grid().map(paths::text),
        });
        let ending = Ending {
            run: folder.path(),
            steps: (done, config.train.steps),
            seconds,
            last_grid: watch.last_grid(),
        };
        let told = output::finish(global, &summary, || ending.text());
        // Even if nobody reads the summary.
        if outcome == Outcome::Stopped {
            warn!("stopped after step {done} and saved; run the same command to continue");
            return Ok(ExitCode::from(signals.exit_code()));
        }
        told.map(|()| ExitCode::SUCCESS)
    }
}
