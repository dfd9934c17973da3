//! What differs between runs, and what that means for comparing them.

use std::collections::{BTreeMap, BTreeSet};

use figures::Table;

use crate::commands::compare::side::Side;
use crate::commands::evaluation::{Evaluation, Metric};
use crate::commands::reporting::scores::{conditions, with_interval};
use crate::config;

/// A key of the configuration, and its value in each run.
pub(super) type Difference = (String, Vec<String>);

/// Keys that define the loss, besides all of `schedule`.
const OF_THE_LOSS: [&str; 10] = [
    "images.sha256",
    "train.loss",
    "train.loss_weight",
    "train.prediction",
    "train.variance",
    "train.time_sampling",
    "train.sigma_data",
    "train.crop",
    "train.jitter",
    "train.augment",
];
/// Conditions in which comparable evaluations may differ.
const FREE: [&str; 4] = ["seed", "step of training", "time of evaluation", "machine of evaluation"];

/// The keys in which the runs differ, in alphabetical order. The run id is left out, since it always differs.
pub(super) fn differences(sides: &[Side]) -> anyhow::Result<Vec<Difference>> {
    let configs: Vec<_> = sides.iter().map(|side| &side.config).collect();
    differing(&configs)
}

fn differing(configs: &[&config::Config]) -> anyhow::Result<Vec<Difference>> {
    let Some((first, others)) = configs.split_first() else { return Ok(Vec::new()) };
    let changes = others
        .iter()
        .map(|other| {
            Ok(config::changes(first, other)?
                .into_iter()
                .map(|change| (change.key.clone(), change))
                .collect())
        })
        .collect::<anyhow::Result<Vec<BTreeMap<_, _>>>>()?;
    let keys: BTreeSet<&String> =
        changes.iter().flat_map(BTreeMap::keys).filter(|key| *key != "id").collect();
    let of_key = |key: &String| {
        // A run's changes leave out a key that still has the first run's value.
        let was = changes.iter().find_map(|change| Some(change.get(key)?.was.clone())).unwrap_or_default();
        let others =
            changes.iter().map(|change| change.get(key).map_or_else(|| was.clone(), |c| c.is.clone()));
        (key.clone(), std::iter::once(was.clone()).chain(others).collect())
    };
    Ok(keys.into_iter().map(of_key).collect())
}

/// Why something cannot be compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) loss: Vec<String>,
    pub(super) samples: Vec<String>,
    pub(super) metrics: Vec<String>,
}

impl Notes {
    pub(super) fn of(sides: &[Side], differences: &[Difference]) -> Self {
        let mut notes = Self::default();
        let of_loss = |key: &&str| key.starts_with("schedule.") || OF_THE_LOSS.contains(key);
        let keys: Vec<&str> = differences.iter().map(|(key, _)| key.as_str()).filter(of_loss).collect();
        if !keys.is_empty() {
            let keys = keys.join(", ");
            notes.loss.push(format!("The losses measure different things, since the runs differ in {keys}."));
        }
        let empty = sides.iter().filter(|side| side.records.is_empty()).map(|side| side.name.as_str());
        let empty: Vec<&str> = empty.collect();
        if !empty.is_empty() {
            notes.loss.push(format!("Without a log: {}.", empty.join(", ")));
        }
        if sides.iter().any(|side| side.shape() != sides[0].shape()) {
            let shapes = sides.iter().map(|side| {
                let [height, width, channels] = side.shape();
                format!("{} {width}x{height}x{channels}", side.name)
            });
            let shapes = shapes.collect::<Vec<_>>().join(", ");
            notes.samples.push(format!(
                "The images have different shapes ({shapes}), so the samples start from different noise."
            ));
        }
        if sides.iter().any(|side| side.sampling_steps != sides[0].sampling_steps) {
            let steps = sides.iter().map(|side| format!("{} {}", side.name, side.sampling_steps));
            let steps = steps.collect::<Vec<_>>().join(", ");
            notes.samples.push(format!("The solver takes different numbers of steps: {steps}."));
        }
        let by_class = sides.iter().filter(|side| side.by_class).map(|side| side.name.as_str());
        let by_class: Vec<&str> = by_class.collect();
        if !by_class.is_empty() {
            notes.samples.push(format!(
                "Trained with a class for every image, so the samples cycle through the classes: {}.",
                by_class.join(", ")
            ));
        }
        let unreadable = sides.iter().filter_map(|side| side.evaluation.as_ref().err().cloned());
        notes.metrics.extend(unreadable);
        let evaluated: Vec<(&str, &Evaluation)> =
            sides.iter().filter_map(|side| Some((side.name.as_str(), side.evaluated()?))).collect();
        notes.metrics.extend(incomparable(&evaluated.iter().map(|pair| pair.1).collect::<Vec<_>>()));
        for side in sides {
            if let Some(step) =
                side.evaluated().and_then(|evaluation| evaluation.step).filter(|step| *step != side.step)
            {
                notes.metrics.push(format!(
                    "{}: the metrics are of step {step}, the samples of step {}.",
                    side.name, side.step
                ));
            }
        }
        notes
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.loss.iter().chain(&self.samples).chain(&self.metrics)
    }
}

/// What differs between evaluations but should not.
fn incomparable(evaluations: &[&Evaluation]) -> Option<String> {
    let all: Vec<BTreeMap<String, String>> = evaluations
        .iter()
        .map(|evaluation| {
            conditions(evaluation).into_iter().filter(|(name, _)| !FREE.contains(&name.as_str())).collect()
        })
        .collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let differ = names.into_iter().filter(|&name| all.iter().any(|one| one.get(name) != all[0].get(name)));
    let differ: Vec<&str> = differ.map(String::as_str).collect();
    (!differ.is_empty())
        .then(|| format!("The metrics cannot be compared: the evaluations differ in {}.", differ.join(", ")))
}

/// One row per metric and one column per run. The best of a row is marked if the evaluations can be compared.
pub(super) fn metrics(sides: &[Side]) -> Table {
    let evaluations: Vec<Option<&Evaluation>> = sides.iter().map(Side::evaluated).collect();
    let header = ["metric", "reference", "better"].into_iter().map(str::to_owned);
    Table {
        header: header.chain(sides.iter().map(|side| side.name.clone())).collect(),
        rows: metric_rows(&evaluations),
    }
}

fn metric_rows(evaluations: &[Option<&Evaluation>]) -> Vec<Vec<String>> {
    let known: Vec<&Evaluation> = evaluations.iter().copied().flatten().collect();
    let comparable = incomparable(&known).is_none();
    let mut seen: Vec<&Metric> = Vec::new();
    for metric in known.iter().flat_map(|evaluation| &evaluation.metrics) {
        if !seen.iter().any(|other| (&other.name, &other.reference) == (&metric.name, &metric.reference)) {
            seen.push(metric);
        }
    }
    let row = |metric: &&Metric| {
        let reference = metric.reference.as_deref();
        let of = |evaluation: &Option<&'_ Evaluation>| {
            evaluation.and_then(|evaluation| evaluation.metric(&metric.name, reference)).cloned()
        };
        let values: Vec<Option<Metric>> = evaluations.iter().map(of).collect();
        let best = best(&values, &metric.better).filter(|_| comparable);
        let cells = values.iter().map(|value| match value {
            Some(value) if best == Some(value.value) => format!("{} ★", with_interval(value)),
            Some(value) => with_interval(value),
            None => "—".to_owned(),
        });
        let dash = || "—".to_owned();
        let first =
            [metric.title.clone(), metric.reference.clone().unwrap_or_else(dash), metric.better.clone()];
        first.into_iter().chain(cells).collect()
    };
    seen.iter().map(row).collect()
}

/// The best of several values; `None` for fewer than two.
fn best(values: &[Option<Metric>], better: &str) -> Option<f64> {
    let values: Vec<f64> = values.iter().flatten().map(|metric| metric.value).collect();
    match better {
        _ if values.len() < 2 => None,
        "lower" => values.into_iter().reduce(f64::min),
        "higher" => values.into_iter().reduce(f64::max),
        _ => None,
    }
}

/// One row per name and one column per run, for facts that each run either lacks or has in the same order.
pub(super) fn facts(sides: &[Side], of: impl Fn(&Side) -> Vec<(String, String)>) -> Table {
    let all: Vec<Vec<(String, String)>> = sides.iter().map(of).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in all.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value = |facts: &Vec<(String, String)>, name: &String| {
        facts.iter().find(|fact| fact.0 == *name).map_or_else(|| "—".to_owned(), |fact| fact.1.clone())
    };
    let row = |name: &&String| {
        std::iter::once((*name).clone()).chain(all.iter().map(|facts| value(facts, name))).collect()
    };
    Table { header: heads(sides, ""), rows: names.iter().map(row).collect() }
}

/// The configuration where it differs, one row per key and one column per run.
pub(super) fn configuration(sides: &[Side], differences: &[Difference]) -> Table {
    let row =
        |(key, values): &Difference| std::iter::once(key.clone()).chain(values.iter().cloned()).collect();
    Table { header: heads(sides, "key"), rows: differences.iter().map(row).collect() }
}

fn heads(sides: &[Side], first: &str) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(sides.iter().map(|side| side.name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn evaluation(n: u64, values: &[(&str, f64)]) -> Evaluation {
        let metrics: Vec<_> = values
            .iter()
            .map(|(name, value)| {
                let better = if *name == "recall" { "higher" } else { "lower" };
                serde_json::json!({ "name": name, "title": name, "reference": "train", "value": value, "better": better })
            })
            .collect();
        serde_json::from_value(serde_json::json!({ "n": n, "metrics": metrics })).unwrap()
    }

    #[test]
    fn the_best_of_a_row_is_marked_where_rows_can_be_compared() {
        let (a, b) = (
            evaluation(50, &[("fd", 2.0), ("recall", 0.5)]),
            evaluation(50, &[("fd", 3.0), ("recall", 0.6)]),
        );
        let rows = metric_rows(&[Some(&a), Some(&b)]);
        assert_eq!(rows[0], ["fd", "train", "lower", "2 ★", "3"]);
        assert_eq!(rows[1], ["recall", "train", "higher", "0.5", "0.6 ★"]);
        // Fewer samples: FD is biased by the sample count.
        let fewer = evaluation(49, &[("fd", 2.0)]);
        let rows = metric_rows(&[Some(&fewer), Some(&b), None]);
        assert_eq!(
            rows,
            [["fd", "train", "lower", "2", "3", "—"], ["recall", "train", "higher", "—", "0.6", "—"]]
        );
        assert!(incomparable(&[&fewer, &b]).unwrap().contains("differ in samples."));
        assert_eq!(incomparable(&[&a, &b]), None);
        assert_eq!((incomparable(&[]), metric_rows(&[None, None])), (None, Vec::new()));
    }

    #[test]
    fn what_makes_numbers_comparable_is_named() {
        let base = evaluation(50, &[("fd", 2.0)]);
        let named = |change: &dyn Fn(&mut Evaluation)| {
            let mut other = base.clone();
            change(&mut other);
            incomparable(&[&base, &other])
        };
        assert!(named(&|e| e.sampler = Some("ddim".into())).unwrap().contains("differ in sampler."));
        assert!(named(&|e| e.steps = Some(3)).unwrap().contains("sampling steps"));
        assert!(named(&|e| e.weights = Some("raw".into())).unwrap().contains("weights"));
        let reference = |count| crate::commands::evaluation::ReferenceRecord {
            part: "train".into(),
            data: "d".into(),
            count,
            sha256: Some("ab".into()),
        };
        assert!(named(&|e| e.references = vec![reference(3)]).unwrap().contains("reference train"));
        assert_eq!(named(&|e| (e.seed, e.step, e.seconds) = (9, Some(9), 9.0)), None);
    }

    #[test]
    fn every_run_has_a_value_of_every_key_that_differs() {
        let config: Config = config::preset_table("tiny-16").unwrap().try_into().unwrap();
        let (mut second, mut third) = (config.clone(), config.clone());
        (second.seed, third.train.batch) = (config.seed + 1, config.train.batch + 1);
        (second.id, third.id) = (Some("b".into()), Some("c".into()));
        let found = differing(&[&config, &second, &third]).unwrap();
        let (seed, batch) = (config.seed.to_string(), config.train.batch.to_string());
        let (more_seed, more_batch) = (second.seed.to_string(), third.train.batch.to_string());
        assert_eq!(
            found,
            [
                ("seed".to_owned(), vec![seed.clone(), more_seed, seed]),
                ("train.batch".to_owned(), vec![batch.clone(), batch, more_batch]),
            ]
        );
        assert!(differing(&[&config, &config]).unwrap().is_empty());
    }
}
