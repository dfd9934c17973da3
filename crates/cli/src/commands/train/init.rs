//! `--init-from`: a new run that begins with the weights of a trained network.

use std::path::{Path, PathBuf};

use anyhow::Context;
use config::{InitConfig, is_adapter};
use tensor_io::Named;
use tracing::info;
use unet::Backbone;

use crate::config::{Config, ImagesConfig};
use crate::failure::bail_usage;
use crate::flags::Weights;
use crate::model_source::Source;
use crate::{adapter, model, networks};

const FLAG: &str = "--init-from";
/// The one parameter that may have another shape in the new run: its rows are the classes.
const CLASS_TABLE: &str = "class_embedding.weight";

/// Weights to begin with.
pub(super) struct Init {
    from: String,
    place: PathBuf,
    source: Config,
    /// Those that the new network takes, f32, by name.
    weights: Vec<Named>,
    sha256: String,
    /// The class table is the new network's own.
    fresh_table: bool,
}

impl Init {
    /// Reads what `--init-from` names: all that `--model` takes, or a run folder for its newest checkpoint.
    pub(super) fn open(path: &Path, which: Weights) -> anyhow::Result<Self> {
        let source = source(path, FLAG, which)?;
        // The size of its images does not matter here, so it is not checked against the weights.
        source.check(true).context(FLAG)?;
        let weights = networks::weights(&source.config, &source.weights).context(FLAG)?;
        let Source { place, mut config, .. } = source;
        // They are in the weights now.
        config.model.adapter_rank = None;
        Ok(Self {
            from: path.display().to_string(),
            place,
            source: config,
            sha256: adapter::digest(&weights)?,
            weights,
            fresh_table: false,
        })
    }

    /// The configuration of the network.
    pub(super) fn source(&self) -> &Config {
        &self.source
    }

    /// Compares the weights with the network of a new run, and records them in its configuration.
    ///
    /// A class table of another number of classes is left out; the network's own stays in its place.
    pub(super) fn settle(&mut self, config: &mut Config) -> anyhow::Result<()> {
        let mut wanted = config.model.parameters();
        wanted.retain(|(name, _)| !is_adapter(name));
        let own = self.weights.iter().find(|(name, _)| name == CLASS_TABLE).map(|(_, table)| table.size());
        let new = wanted.iter().find(|(name, _)| name == CLASS_TABLE).map(|(_, shape)| shape.clone());
        let width = |shape: &[i64]| shape.get(1).copied();
        let other_rows = match (&own, &new) {
            (Some(own), Some(new)) => {
                let new: Vec<i64> = new.iter().map(|&size| size as i64).collect();
                width(own) == width(&new) && *own != new
            }
            (own, new) => own.is_some() || new.is_some(),
        };
        if other_rows {
            self.weights.retain(|(name, _)| name != CLASS_TABLE);
            wanted.retain(|(name, _)| name != CLASS_TABLE);
            self.fresh_table = new.is_some();
        }
        if let (true, Some(rank)) = (self.fresh_table, config.model.adapter_rank) {
            bail_usage!(
                "model.adapter_rank = {rank}: adapters leave a class table as it is, and that of {} classes would start fresh; \
                 train without adapters, or with the classes of the weights",
                config.model.classes.unwrap_or(0)
            );
        }
        tensor_io::check_tensors(&self.place, &self.weights, &wanted).context(
            "--init-from: the network is not that of the weights; leave out the keys of [model] that change it",
        )?;
        config.init = Some(InitConfig { from: self.from.clone(), sha256: self.sha256.clone() });
        Ok(())
    }

    /// Copies the weights into the network of the run, and says so.
    pub(super) fn load_into(self, net: &dyn Backbone, config: &Config) -> anyhow::Result<()> {
        let Self { from, place, source, mut weights, fresh_table, .. } = self;
        // What starts fresh stays as it was drawn.
        let is_fresh = |name: &str| is_adapter(name) || (fresh_table && name == CLASS_TABLE);
        let fresh = net.params().iter().filter(|(name, _)| is_fresh(name));
        weights.extend(fresh.map(|(name, tensor)| (name.clone(), tensor.detach().copy())));
        tensor_io::copy_into(&place, &weights, net.params()).context(FLAG)?;
        info!("the run begins with the weights of {from}");
        tell_classes(&source, config);
        Ok(())
    }
}

/// What a flag names: all that `--model` takes, or a run folder for its newest checkpoint.
pub(super) fn source(path: &Path, flag: &'static str, which: Weights) -> anyhow::Result<Source> {
    match path.join("checkpoints").is_dir() {
        true => Source::of_checkpoint(&model::newest_checkpoint_of(path, flag)?, which),
        false => Source::open(path, flag, which),
    }
}

/// Says what became of the class table.
fn tell_classes(source: &Config, config: &Config) {
    let had = match source.model.classes {
        Some(classes) => format!("the weights had one of {classes}"),
        None => "the weights had none".to_owned(),
    };
    match (source.model.classes, config.model.classes) {
        (before, Some(now)) if before != Some(now) => {
            info!("the class table of {now} classes starts fresh: {had}");
        }
        (Some(_), None) => info!("the run has no classes, so the class table is left out: {had}"),
        (Some(_), Some(_)) => {
            let names = |images: &Option<ImagesConfig>| {
                images.as_ref().map_or(Vec::new(), |images| images.class_names.clone())
            };
            let (before, now) = (names(&source.images), names(&config.images));
            let renamed = before.iter().zip(&now).position(|(before, now)| before != now);
            if let Some(class) = renamed {
                info!(
                    "the class table is kept, though class {class} was {} and is {} now",
                    before[class], now[class]
                );
            }
        }
        (None, _) => {}
    }
}

/// Lets a run that is started again keep the place that it recorded, as long as the weights are the same.
pub(super) fn keep_place(before: &Config, config: &mut Config, run: &Path) -> anyhow::Result<()> {
    let (Some(was), Some(is)) = (&before.init, &mut config.init) else { return Ok(()) };
    if was.sha256 != is.sha256 {
        bail_usage!(
            "--init-from {}: expected the weights that the run in {} was started with (SHA-256 {}, from {}), found others ({}); \
             continue that run with --resume, or choose another --run",
            is.from,
            run.display(),
            short(&was.sha256),
            was.from,
            short(&is.sha256)
        );
    }
    is.from.clone_from(&was.from);
    Ok(())
}

/// Refuses a run that began with weights, has no checkpoint, and was not given them.
pub(super) fn check_given(config: &Config, run: &Path) -> anyhow::Result<()> {
    if let Some(init) = &config.init {
        bail_usage!(
            "--resume: expected a checkpoint in {}, found none, and the run begins with the weights of {}; start it again with \
             the same command, --init-from included",
            run.display(),
            init.from
        );
    }
    Ok(())
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}
