//! One of the runs: its configuration, its cost and its samples.

use ndarray::Array4;
use serde_json::{Value, json};
use tracing::warn;
use trainer::{Record, RunFolder};

use crate::commands::evaluation::{Evaluation, Metric};
use crate::commands::reporting::cost::Cost;
use crate::commands::reporting::evaluations;
use crate::commands::reporting::settings;
use crate::commands::sampling::{NoiseArgs, in_batches, tick};
use crate::conditioning::Conditioning;
use crate::config::{Config, ImagesConfig};
use crate::flags::Global;
use crate::model::Loaded;
use crate::sampler_flags::SamplerArgs;

/// One of the compared runs.
pub(super) struct Side {
    pub(super) name: String,
    /// Step of the checkpoint.
    pub(super) step: u64,
    /// The configuration, as a page may show it.
    pub(super) config: Config,
    pub(super) images: ImagesConfig,
    pub(super) cost: Cost,
    /// The records logged up to the checkpoint.
    pub(super) records: Vec<Record>,
    /// The newest evaluation, or why it cannot be used.
    pub(super) evaluation: Result<Option<Evaluation>, String>,
    /// The samples `[n, h, w, c]`, and the sampling steps of each.
    pub(super) samples: Array4<u8>,
    pub(super) sampling_steps: usize,
    /// Whether the samples cycle through the classes, because the network cannot sample without a class.
    pub(super) by_class: bool,
}

impl Side {
    /// Reads a run and draws its samples.
    pub(super) fn of(
        name: String,
        loaded: Loaded,
        sampler: &SamplerArgs,
        (noise, count): (&NoiseArgs, usize),
        global: &Global,
    ) -> anyhow::Result<Self> {
        let run = loaded.run.clone().unwrap_or_default();
        let mut records = RunFolder::read_metrics(&run)?;
        records.retain(|record| record.step <= loaded.step && record.loss.is_finite());
        let evaluation = evaluations::newest(&run).map_err(|error| {
            warn!("{error:#}");
            format!("{name}: the newest evaluation cannot be read.")
        });
        let by_class = loaded.config.model.classes.is_some() && loaded.config.train.label_dropout == 0.0;
        let conditioning = match by_class {
            true => Conditioning::every_class_of(&*loaded.net, &loaded.images),
            false => Conditioning::none(),
        };
        let sampler = sampler.build(&loaded).map_err(|error| error.context(format!("{name}: sampling")))?;
        let samples = in_batches(&loaded, noise, count, sampler.steps(), global, |range, noise, bar| {
            bar.set_prefix(name.clone());
            let x_start = sampler.start_from(noise.start(loaded.shape(range.len()), loaded.device)?)?;
            let network = (&*loaded.net, loaded.precision.kind());
            let model = conditioning.model(network, loaded.path.steps(), range)?;
            let mut on_step = |step: &sampler::Step<'_>| {
                tick(bar, step);
                Ok(())
            };
            Ok(sampler.sample(&*model, &x_start, noise, &mut on_step)?)
        })?;
        let parameters = loaded.net.param_count() as u64;
        let cost = Cost::new(&loaded.config, &loaded.images, parameters, loaded.step, &records);
        Ok(Self {
            name,
            step: loaded.step,
            config: settings::public(&loaded.config),
            images: loaded.images,
            cost,
            records,
            evaluation,
            samples,
            sampling_steps: sampler.steps(),
            by_class,
        })
    }

    /// Height, width and channels of the network's images. Runs of the same shape start from the same noise.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.images.height, self.images.width, self.images.channels]
    }

    /// The evaluation, where there is one.
    pub(super) fn evaluated(&self) -> Option<&Evaluation> {
        self.evaluation.as_ref().ok().and_then(Option::as_ref)
    }

    /// The JSON summary.
    pub(super) fn summary(&self) -> Value {
        let Cost { parameters, images_seen, seconds, flop, .. } = self.cost;
        let metric = |metric: &Metric| {
            json!({ "name": metric.name, "reference": metric.reference, "value": metric.value, "low": metric.low,
                    "high": metric.high })
        };
        let metrics: Option<Vec<Value>> =
            self.evaluated().map(|evaluation| evaluation.metrics.iter().map(metric).collect());
        json!({
            "name": self.name, "step": self.step, "steps": self.sampling_steps, "parameters": parameters,
            "images_seen": images_seen, "training_seconds": seconds, "training_flop": flop,
            "evaluated_step": self.evaluated().and_then(|evaluation| evaluation.step), "metrics": metrics,
        })
    }
}
