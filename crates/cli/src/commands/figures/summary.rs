//! What the figures were made from, and the cost.

use crate::commands::figures::subject::Subject;
use crate::commands::figures::tables::{describe, scientific};
use crate::commands::inspect::table::numbered;
use crate::commands::reporting::cost::{self, Cost};
use crate::commands::reporting::numbers::{duration, grouped};
use crate::commands::reporting::settings::{name_of, source_name};
use crate::commands::reporting::{machine, scores};
use crate::device;
use crate::flags::Weights;
use crate::output;

/// Metrics shown at the top of the page.
const HEADLINES: usize = 2;

/// The top of the page: names and values. Nothing in it depends on when or where the report is made.
pub(super) fn summary(subject: &Subject, weights: Weights) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| rows.push((name.to_owned(), value));
    let source = source_name(&subject.data_config.source);
    let count = subject.loaded.as_ref().map(|loaded| loaded.images.count);
    let count = count.or(subject.data.as_ref().ok().map(dataset::Dataset::len));
    add("dataset", count.map_or(source.clone(), |count| format!("{source}, {}", numbered(count, "image"))));
    add("image size", size(subject));
    add("schedule", format!("{}, T = {}", subject.schedule_config.kind, subject.schedule.steps()));
    let Some(loaded) = &subject.loaded else { return rows };
    if let Some(run) = &loaded.run {
        add("run", name_of(run));
    }
    add("output of the network", loaded.config.train.prediction.to_string());
    add("parameters", grouped(loaded.net.param_count()));
    add(
        "steps trained",
        format!("{} of {}", grouped(loaded.step), output::images(loaded.config.train.batch)),
    );
    if let Some(seconds) = cost::seconds(&subject.records, loaded.config.train.batch) {
        add("time of training", duration(seconds));
    }
    let kind = if weights == Weights::Raw { "weights as trained" } else { "averaged weights (EMA)" };
    add("checkpoint", format!("{}, {kind}", name_of(&loaded.checkpoint)));
    let evaluation = subject.evaluation.as_ref().ok().and_then(Option::as_ref);
    for metric in evaluation.iter().flat_map(|evaluation| &evaluation.metrics).take(HEADLINES) {
        let reference = metric.reference.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
        add(&format!("{}{reference}", metric.title), scores::with_interval(metric));
    }
    rows
}

/// The cost of the run, and the settings of the figures; `None` without a run.
pub(super) fn cost(subject: &Subject, seed: u64) -> Option<Vec<(String, String)>> {
    let loaded = subject.loaded.as_ref()?;
    let parameters = loaded.net.param_count() as u64;
    let mut facts =
        Cost::new(&loaded.config, &loaded.images, parameters, loaded.step, &subject.records).facts();
    let drawn = format!("{} on {}", loaded.precision.name(), device::name(loaded.device));
    let betas = subject.schedule.betas();
    let (first, last) = (scientific(betas[0]), scientific(betas[betas.len() - 1]));
    let more = [
        ("betas", format!("{first} to {last}")),
        ("time embedding", describe(&subject.embedding)),
        ("learning rate", scientific(loaded.config.train.lr)),
        ("seed of the run", loaded.config.seed.to_string()),
        ("precision of training", loaded.config.precision.clone()),
        ("precision of the figures", drawn),
        ("seed of the figures", seed.to_string()),
        ("machine of the figures", machine::describe(loaded.device)),
    ];
    facts.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Some(facts)
}

fn size(subject: &Subject) -> String {
    let (shape, border) = match (&subject.loaded, &subject.data) {
        (Some(loaded), _) => {
            let images = &loaded.images;
            (
                images.inner_shape(),
                images.padding.iter().any(|&side| side > 0).then_some((images.height, images.width)),
            )
        }
        (None, Ok(data)) => (data.shape(), None),
        (None, Err(_)) => return "unknown".to_owned(),
    };
    let (height, width, channels) = shape;
    let colour = if channels == 1 { "grey" } else { "colour" };
    let border = border.map(|(h, w)| format!(", in a border to {h} × {w}")).unwrap_or_default();
    format!("{height} × {width}, {colour}{border}")
}
