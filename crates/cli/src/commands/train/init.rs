//! `--init-from`: starts a new run from the weights of a trained network.

use std::path::{Path, PathBuf};

use anyhow::Context;
use config::{InitConfig, is_adapter};
use tensor_io::Named;
use tracing::info;
use unet::Backbone;

use crate::config::{Config, ImagesConfig};
use crate::failure::bail_usage;
use crate::flags::Weights;
use crate::model_source::{Source, is_shipped};
use crate::{adapter, model, networks};

const FLAG: &str = "--init-from";
/// The only parameter whose shape may differ in the new run: it has one row per class.
const CLASS_TABLE: &str = "class_embedding.weight";

/// Initial weights.
pub(super) struct Init {
    from: String,
    place: PathBuf,
    source: Config,
    /// The weights that the new network takes, f32, by name.
    weights: Vec<Named>,
    sha256: String,
    /// Whether the new network keeps its own class table.
    fresh_table: bool,
}

impl Init {
    /// Reads what `--init-from` names: anything that `--model` accepts, or the newest checkpoint of a run folder.
    pub(super) fn open(path: &Path, which: Weights) -> anyhow::Result<Self> {
        let source = source(path, FLAG, which)?;
        // The image size does not matter here, so it is not checked against the weights.
        source.check(true).context(FLAG)?;
        let weights = networks::weights(&source.config, &source.weights).context(FLAG)?;
        let Source { place, mut config, .. } = source;
        // The weights contain the adapters now.
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
    /// A class table for another number of classes is left out; the network keeps its own.
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
                "model.adapter_rank = {rank}: adapters leave a class table as it is, and that of {} would start fresh; \
                 train without adapters, or with the classes of the weights",
                files::counted(config.model.classes.unwrap_or(0), "class")
            );
        }
        tensor_io::check_tensors(&self.place, &self.weights, &wanted).context(
            "--init-from: the network differs from that of the weights; leave out the keys of [model] that change it",
        )?;
        config.init = Some(InitConfig { from: self.from.clone(), sha256: self.sha256.clone() });
        Ok(())
    }

    /// Copies the weights into the network of the run, and logs that.
    pub(super) fn load_into(self, net: &dyn Backbone, config: &Config) -> anyhow::Result<()> {
        let Self { from, place, source, mut weights, fresh_table, .. } = self;
        // What starts fresh stays as it was drawn.
        let is_fresh = |name: &str| is_adapter(name) || (fresh_table && name == CLASS_TABLE);
        let fresh = net.params().iter().filter(|(name, _)| is_fresh(name));
        weights.extend(fresh.map(|(name, tensor)| (name.clone(), tensor.detach().copy())));
        tensor_io::copy_into(&place, &weights, net.params()).context(FLAG)?;
        info!("the run starts from the weights of {from}");
        tell_classes(&source, config);
        Ok(())
    }
}

/// Opens what a flag names: anything that `--model` accepts, or the newest checkpoint of a run folder.
pub(super) fn source(path: &Path, flag: &'static str, which: Weights) -> anyhow::Result<Source> {
    match path.join("checkpoints").is_dir() && !is_shipped(path) {
        true => Source::of_checkpoint(&model::newest_checkpoint_of(path, flag)?, which),
        false => Source::open(path, flag, which),
    }
}

/// Logs what happens to the class table.
fn tell_classes(source: &Config, config: &Config) {
    let had = match source.model.classes {
        Some(classes) => format!("the weights had one of {classes}"),
        None => "the weights had none".to_owned(),
    };
    match (source.model.classes, config.model.classes) {
        (before, Some(now)) if before != Some(now) => {
            info!("the class table of {} starts fresh: {had}", files::counted(now, "class"));
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

/// Lets a restarted run keep the recorded path of its weights, as long as the weights are the same.
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

/// Refuses to resume a run that started from other weights, has no checkpoint, and was not given those weights.
pub(super) fn check_given(config: &Config, run: &Path) -> anyhow::Result<()> {
    if let Some(init) = &config.init {
        bail_usage!(
            "--resume: expected a checkpoint in {}, found none, and the run starts from the weights of {}; start it again with \
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
