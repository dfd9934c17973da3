//! `--resume`: the configuration in a run folder, what may change in it, and images that have moved.

use std::path::Path;

use tracing::{info, warn};
use trainer::{Checkpoint, learning_rate};

use crate::commands::train::{Plan, Train};
use crate::config::{self, Config, ConfigError};
use crate::failure::{bail_usage, wrong_data};
use crate::model::RUNS;
use crate::run_data;

impl Train {
    /// The plan of the run in the run folder, with the changes of the flags. Writes nothing.
    pub(super) fn resumed(&self) -> anyhow::Result<Plan> {
        if let Some(path) = &self.init_from {
            bail_usage!(
                "--init-from {}: starts a new run, but --resume continues one from its own checkpoint; leave one of the two out",
                path.display()
            );
        }
        if [&self.preset, &self.objective, &self.on_bad].iter().any(|flag| flag.is_some())
            || self.config.is_some()
        {
            bail_usage!(
                "--resume takes the configuration of the run; leave out --preset, --objective, --config and --on-bad"
            );
        }
        let run = match &self.run {
            Some(run) => run.to_path_buf(),
            None => crate::model::newest_run(Path::new(RUNS))?,
        };
        let path = run.join("config.toml");
        if !trainer::is_run(&run)? {
            bail_usage!(
                "--resume: {} is not a run folder; expected config.toml and checkpoints in it",
                run.display()
            );
        }
        let before = config::read_run(&path)?;
        let changes = self.changes()?;
        let mut config = before.clone();
        for change in &changes {
            config = match change.refused_on_resume(&before) {
                Some(refusal @ ConfigError::NotSettable { .. }) => return Err(refusal.into()),
                refusal => config.with(change).map_err(|error| refusal.unwrap_or(error))?,
            };
        }
        if config.data.source != before.data.source {
            config.data = run_images::moved(&before.data, &config.data.source)?;
        }
        // Name a key that must stay, even if its new value is also wrong.
        config::check_resume(&before, &config)?;
        config::validate(&config)?;
        config.check_images()?;
        // The folder may come from someone else, and name `/`.
        run_data::check_extent(&config)?;
        let checkpoint = check(&run, &config)?;
        let done = checkpoint.as_ref().map_or(0, |(checkpoint, _)| checkpoint.state.step);
        if config.train.steps < done && config.train.steps != before.train.steps {
            bail_usage!(
                "train.steps = {}: this run has done {}; pass {done} or more, or start a new run with another --run",
                config.train.steps,
                files::counted(done, "step")
            );
        }
        let dataset = self.same_images(&before, &mut config, &run)?;
        if let Some((_, was)) = &checkpoint {
            tell_learning_rate(was, &config, done);
        }
        Ok(Plan { config, dataset, run, init: None })
    }

    /// Opens the images, which must be those that the run started with, wherever they are now.
    fn same_images(
        &self,
        before: &Config,
        config: &mut Config,
        run: &Path,
    ) -> anyhow::Result<dataset::Dataset> {
        let source = &config.data.source.clone();
        let moved = *source != before.data.source;
        let dataset = config::open(&config.data).map_err(|error| match moved {
            true => error,
            false => error.context(format!(
                "--resume: the images of this run cannot be opened ({source}); if they have moved, pass their new place with --data"
            )),
        })?;
        run_images::settle_labels(config, &dataset)?;
        let images = config.images.as_ref();
        // The hash covers the images only. The configured size decides how large the network is.
        let shape = images.map(|images| (images.height, images.width, images.channels)).unwrap_or_default();
        let (height, width, channels) = dataset.shape();
        if shape != (height, width, channels) {
            return Err(wrong_data(format!(
                "--data {source}: expected images of {}x{}x{} (width, height, channels), as the configuration of the run in {} \
                 says, found {width}x{height}x{channels}; pass --data with the place of the same images, or start a new run \
                 with another --run",
                shape.1,
                shape.0,
                shape.2,
                run.display()
            )));
        }
        let known = images.map(|images| images.sha256.as_str()).unwrap_or_default();
        let found = dataset.fingerprint_like(known)?;
        if known != found {
            return Err(wrong_data(format!(
                "--data {source}: these are not the images that the run in {} was started with ({} with SHA-256 {}, here \
                 {} with {}); pass --data with the place of the same images, or start a new run with another --run",
                run.display(),
                files::counted(images.map_or(0, |images| images.count), "image"),
                short(known),
                dataset.len(),
                short(&found)
            )));
        }
        if moved {
            info!("the images of this run are now {source}");
        }
        Ok(dataset)
    }
}

/// Checks a configuration against that in the newest valid checkpoint of a run folder, if there is one. Returns both.
pub(super) fn check(run: &Path, config: &Config) -> anyhow::Result<Option<(Checkpoint, Config)>> {
    let checkpoints = run.join("checkpoints");
    if !checkpoints.is_dir() {
        return Ok(None);
    }
    // Invalid checkpoints are reported when the run continues.
    let (latest, _) = trainer::latest_checkpoint(&checkpoints)?;
    let Some(latest) = latest else { return Ok(None) };
    let was = config::read_run(&latest.path.join("config.toml"))?;
    config::check_resume(&was, config).map_err(|error| match error {
        other @ ConfigError::OtherRun { .. } => {
            anyhow::Error::new(other).context(latest.path.display().to_string())
        }
        error => error.into(),
    })?;
    Ok(Some((latest, was)))
}

/// Logs how the learning rate changes if the length of the run, or the rate itself, has changed.
fn tell_learning_rate(was: &Config, is: &Config, done: u64) {
    // Compare with the rate that this step would have had; the user knows the rate of the last step.
    let as_it_was = learning_rate(&was.train, done);
    let (before, now) = (learning_rate(&was.train, done.saturating_sub(1)), learning_rate(&is.train, done));
    let longer = was.train.steps != is.train.steps;
    if !(longer || was.train.lr != is.train.lr) || as_it_was == now {
        return;
    }
    let why = match longer {
        true => format!(
            "train.steps is {} instead of {}, and train.lr_decay = cosine follows it",
            is.train.steps, was.train.steps
        ),
        false => format!("train.lr is {} instead of {}", is.train.lr, was.train.lr),
    };
    let fate = match now > before {
        true => "rises",
        false => "falls",
    };
    warn!("the learning rate {fate} from {before:.1e} to {now:.1e} at step {done}: {why}");
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}
