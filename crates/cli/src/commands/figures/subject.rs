//! What the figures show: a trained run, or the embedded images and the paper's chain.

use std::collections::HashSet;
use std::path::Path;

use anyhow::ensure;
use dataset::{Dataset, Split};
use ndarray::Array4;
use schedule::Schedule;
use tracing::{info, warn};
use trainer::{Record, RunFolder};
use unet::EmbeddingConfig;

use crate::commands::evaluation::Evaluation;
use crate::commands::figures::times;
use crate::commands::reporting::evaluations;
use crate::config::{self, DataConfig, ScheduleConfig};
use crate::flags::{Global, ModelArgs};
use crate::model::{self, Loaded, RUNS};
use crate::run_data;

/// A schedule, an embedding, images, and possibly a trained network.
pub(super) struct Subject {
    /// The network, if there is one.
    pub(super) loaded: Option<Loaded>,
    pub(super) schedule: Schedule,
    pub(super) schedule_config: ScheduleConfig,
    pub(super) embedding: EmbeddingConfig,
    pub(super) data_config: DataConfig,
    /// The images without the network's border, or why they are missing.
    pub(super) data: Result<Dataset, String>,
    /// The log of the run; empty without a run.
    pub(super) records: Vec<Record>,
    /// The newest evaluation of the run, or why it cannot be used.
    pub(super) evaluation: Result<Option<Evaluation>, String>,
}

impl Subject {
    /// Opens the run or model of the flags with the images that `data` names. Without flags it opens the newest run; without
    /// runs, the shipped model; without that, the embedded images.
    pub(super) fn open(args: &ModelArgs, data: Option<&str>, global: &Global) -> anyhow::Result<Self> {
        match choose(args) {
            Some(args) => Self::trained(Loaded::open(&args, global)?, data),
            None => Self::untrained(),
        }
    }

    fn trained(loaded: Loaded, named: Option<&str>) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let located = run_data::locate(config, named);
        let data_config = located.as_ref().map_or_else(|_| config.data.clone(), DataConfig::clone);
        let data = located.and_then(|data| config::open(&data.unpadded())).map_err(|error| {
            // The report gives no details, so that it names no folder of this machine.
            warn!("the images of the run cannot be used: {error:#}");
            "the images of the run cannot be used".to_owned()
        });
        let records = match &loaded.run {
            Some(run) => RunFolder::read_metrics(run)?,
            None => Vec::new(),
        };
        let evaluation = loaded.run.as_deref().map_or(Ok(None), evaluations::newest).map_err(|error| {
            warn!("{error:#}");
            "The newest evaluation of the run cannot be read.".to_owned()
        });
        Ok(Self {
            evaluation,
            schedule: config.schedule.tables()?,
            schedule_config: config.schedule.clone(),
            embedding: config.model.embedding.clone(),
            data_config,
            data,
            records: records.into_iter().filter(|record| record.step <= loaded.step).collect(),
            loaded: Some(loaded),
        })
    }

    /// The paper's chain (Ho et al. 2020, section 4) and the embedding of normalised t, on the embedded set.
    fn untrained() -> anyhow::Result<Self> {
        let schedule_config: ScheduleConfig = toml::from_str("kind = \"linear\"\nsteps = 1000")?;
        let data_config: DataConfig =
            toml::from_str("source = \"fashion-mnist\"\nfit = \"crop\"\non_bad = \"fail\"")?;
        Ok(Self {
            loaded: None,
            schedule: schedule_config.tables()?,
            schedule_config,
            embedding: EmbeddingConfig::Normalized { frequencies: 10 },
            data: Ok(config::open(&data_config)?),
            data_config,
            records: Vec::new(),
            evaluation: Ok(None),
        })
    }

    /// The held-out images, as the network sees them; `None` if the source has no such part.
    pub(super) fn held_out(&self) -> Option<Dataset> {
        let loaded = self.loaded.as_ref()?;
        let source = &self.data_config.source;
        let (bare, part) = Split::of_spec(source);
        if part.is_some_and(|part| part != Split::Train) {
            return None;
        }
        let held_out = DataConfig { source: format!("{bare}:test"), ..self.data_config.clone() };
        let data = config::open(&held_out).ok()?;
        check_shape(&data, loaded).ok().map(|()| data)
    }

    /// The training images, as the network sees them.
    pub(super) fn padded(&self, loaded: &Loaded) -> anyhow::Result<Dataset> {
        let data = config::open(&self.data_config)?;
        check_shape(&data, loaded)?;
        Ok(data)
    }
}

fn check_shape(data: &Dataset, loaded: &Loaded) -> anyhow::Result<()> {
    let images = &loaded.images;
    let (expected, got) = ((images.height, images.width, images.channels), data.shape());
    let text = |(height, width, channels): (usize, usize, usize)| format!("{width}x{height}x{channels}");
    ensure!(
        expected == got,
        "the images are now {}, but the network was trained on {}",
        text(got),
        text(expected)
    );
    Ok(())
}

/// The flags, with the newest run added if they name none and that run has a checkpoint. Without runs, with the model of the
/// package if the program is part of one, or as they are: the shipped model is used then.
fn choose(args: &ModelArgs) -> Option<ModelArgs> {
    if args.run.is_some() || args.model.is_some() {
        return Some(args.clone());
    }
    if let Some(model) = args.packaged() {
        info!("using {}", model.display());
        return Some(ModelArgs { model: Some(model.into()), ..args.clone() });
    }
    if args.takes_shipped(&trainer::runs_newest_first(Path::new(RUNS))) {
        return Some(args.clone());
    }
    let run = model::newest_with_checkpoint(Path::new(RUNS)).ok()?;
    match model::newest_checkpoint(&run) {
        Ok(_) => {
            info!("using {}", run.display());
            Some(ModelArgs { run: Some(run.into()), ..args.clone() })
        }
        Err(error) => {
            warn!("{error:#}: drawing only what needs no trained network");
            None
        }
    }
}

/// Varied images as the network sees them, and a sentence about where they come from. Uses held-out images if the data has
/// any.
pub(super) fn originals(
    subject: &Subject,
    loaded: &Loaded,
    count: usize,
) -> anyhow::Result<(Array4<u8>, &'static str)> {
    let (data, whose) = match subject.held_out() {
        Some(data) => (data, "The originals are test images that were not used in training."),
        None => (subject.padded(loaded)?, "The originals are images of the training data."),
    };
    Ok((images(&data, &varied(&data, count))?, whose))
}

/// Indices of `count` varied images: one of each class, in the order in which the classes appear, then others evenly
/// spaced.
pub(super) fn varied(data: &Dataset, count: usize) -> Vec<usize> {
    let mut seen = HashSet::new();
    let firsts = (0..data.len()).filter(|&index| data.label(index).is_some_and(|label| seen.insert(label)));
    let mut chosen: Vec<usize> = firsts.take(count).collect();
    for index in times::spread(data.len(), 2 * count) {
        if chosen.len() < count && !chosen.contains(&index) {
            chosen.push(index);
        }
    }
    chosen
}

/// Images by index, `[n, h, w, c]`.
pub(super) fn images(data: &Dataset, indices: &[usize]) -> anyhow::Result<Array4<u8>> {
    ensure!(!indices.is_empty(), "no image to show");
    Ok(data.images(indices.iter().copied())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(labels: Option<Vec<u32>>, count: usize) -> Dataset {
        let images = Array4::from_shape_fn((count, 2, 2, 1), |(n, ..)| n as u8);
        Dataset::from_array(images, labels).unwrap()
    }

    #[test]
    fn one_of_each_class_comes_first() {
        assert_eq!(varied(&data(Some(vec![1, 1, 0, 0, 2, 2]), 6), 3), [0, 2, 4]);
        assert_eq!(varied(&data(Some(vec![1, 1, 0, 0, 1, 1]), 6), 3), [0, 2, 1]);
        assert_eq!(varied(&data(None, 10), 3).len(), 3);
        assert_eq!(varied(&data(None, 2), 3), [0, 1]);
    }

    #[test]
    fn images_come_in_the_order_asked_for() {
        let chosen = images(&data(None, 4), &[3, 1]).unwrap();
        assert_eq!((chosen.dim(), chosen[[0, 0, 0, 0]], chosen[[1, 1, 1, 0]]), ((2, 2, 2, 1), 3, 1));
    }
}
