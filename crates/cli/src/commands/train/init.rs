//! `--init-from`: starts a new run from the weights of a trained network.

use std::path::{Path, PathBuf};

use anyhow::Context;
use config::InitConfig;
use sha2::{Digest, Sha256};
use tensor_io::Named;
use tracing::info;
use unet::Backbone;

use crate::config::{Config, ImagesConfig};
use crate::failure::bail_usage;
use crate::flags::Weights;
use crate::model_source::Source;
use crate::{model, networks};

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
        let is_run = path.join("checkpoints").is_dir();
        let source = match is_run {
            true => Source::of_checkpoint(&model::newest_checkpoint_of(path, FLAG)?, which)?,
            false => Source::open(path, FLAG, which)?,
        };
        // The image size does not matter here, so it is not checked against the weights.
        source.check(true).context(FLAG)?;
        let mut weights = networks::weights(&source.config, &source.weights).context(FLAG)?;
        weights.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Hash the tensors, not the file, so that an exported checkpoint counts as the same weights.
        let digest = Sha256::digest(tensor_io::serialize(&weights)?);
        Ok(Self {
            from: path.display().to_string(),
            place: source.place,
            source: source.config,
            weights,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
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
        tensor_io::check_tensors(&self.place, &self.weights, &wanted).context(
            "--init-from: the network differs from that of the weights; leave out the keys of [model] that change it",
        )?;
        config.init = Some(InitConfig { from: self.from.clone(), sha256: self.sha256.clone() });
        Ok(())
    }

    /// Copies the weights into the network of the run, and logs that.
    pub(super) fn load_into(self, net: &dyn Backbone, config: &Config) -> anyhow::Result<()> {
        let Self { from, place, source, mut weights, fresh_table, .. } = self;
        if fresh_table {
            let own = net.params().iter().find(|(name, _)| name == CLASS_TABLE);
            weights.extend(own.map(|(name, table)| (name.clone(), table.detach().copy())));
        }
        tensor_io::copy_into(&place, &weights, net.params()).context(FLAG)?;
        info!("the run starts from the weights of {from}");
        tell_classes(&source, config);
        Ok(())
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
