//! `--guide-with`: a second network to guide away from.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, anyhow};
use schedule::Prediction;
use tracing::warn;
use unet::Backbone;

use crate::config::Config;
use crate::failure::usage;
use crate::flags::Weights;
use crate::model::{self, Loaded};
use crate::model_source::{Source, is_shipped};
use crate::networks;

/// Opens the averaged weights of a checkpoint whose network has the same kind of output as `loaded`.
pub(crate) fn open(path: &Path, loaded: &Loaded) -> anyhow::Result<Rc<dyn Backbone>> {
    // For a run folder, use its newest checkpoint.
    let source = match path.join("checkpoints").is_dir() && !is_shipped(path) {
        true => Source::of_checkpoint(&model::newest_checkpoint(path)?, Weights::Ema)?,
        false => Source::open(path, "--guide-with", Weights::Ema)?,
    };
    if source.place == loaded.checkpoint {
        warn!("--guide-with {}: this is the same network, so guidance has no effect", path.display());
    }
    source.check(false)?;
    for (what, is, of) in differences(&source.config, &loaded.config) {
        if is != of {
            return Err(usage(anyhow!(
                "--guide-with {}: expected a network of the same kind, found {what} {is} instead of {of}",
                path.display()
            )));
        }
    }
    let net = networks::load(&source.config, &source.weights, loaded.device).context("--guide-with")?;
    Ok(Rc::from(net))
}

/// What two networks must have in common, for messages.
fn differences(guide: &Config, other: &Config) -> [(&'static str, String, String); 5] {
    let both = |of: &dyn Fn(&Config) -> String| (of(guide), of(other));
    let named = |what, (guide, other): (String, String)| (what, guide, other);
    [
        named("the schedule", both(&schedule)),
        named("the output", both(&output)),
        named(
            "channels in and out",
            both(&|config| format!("{:?}", (config.model.in_channels, config.model.out_channels))),
        ),
        named("the image size", both(&|config| config.model.image_size.to_string())),
        named("classes", both(&|config| config.model.classes.unwrap_or(0).to_string())),
    ]
}

/// Kind and parameters of the schedule.
fn schedule(config: &Config) -> String {
    let numbers = toml::to_string(&config.schedule).unwrap_or_default();
    numbers.trim().replace('\n', ", ").replace('"', "")
}

fn output(config: &Config) -> String {
    match config.train.output() {
        Prediction::Edm { sigma_data } => format!("edm with sigma_data = {sigma_data}"),
        other => other.to_string(),
    }
}
