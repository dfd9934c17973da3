//! The results of a study: the contents of its JSON file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Origin;
use crate::metric::{self, Metric};

use super::study::{Average, Best, Budget, Evaluate, Sampling, Settings, Study};

/// All results; page and picture are made from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) base: Settings,
    pub(super) budget: Budget,
    pub(super) evaluate: Evaluate,
    pub(super) best: Option<Best>,
    /// Commit, machine and date of this file; each training has its own.
    pub(super) origin: Origin,
    pub(super) rows: Vec<RowResult>,
}

/// The results of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RowResult {
    pub(super) name: String,
    /// Its own settings, to be laid over the base.
    pub(super) own: Settings,
    pub(super) seeds: Vec<SeedResult>,
}

/// The result of one training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeedResult {
    pub(super) seed: u64,
    /// Steps of the training.
    pub(super) steps: Option<u64>,
    /// Seconds of these steps, without checkpoints and sample grids.
    pub(super) seconds: Option<f64>,
    pub(super) origin: Option<Origin>,
    /// Why there is no training.
    pub(super) failed: Option<String>,
    pub(super) evaluations: Vec<Evaluated>,
}

/// The result of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evaluated {
    pub(super) average: Average,
    pub(super) sampling: Sampling,
    /// The error of the weights against the requested average, if `ddpm ema` made them.
    pub(super) average_error: Option<f64>,
    /// The full answer of `ddpm evaluate`.
    pub(super) said: Option<Value>,
    /// Why there is no answer.
    pub(super) failed: Option<String>,
}

impl Results {
    /// The results of a study that has not started.
    pub(super) fn new(study: &Study, origin: Origin) -> Self {
        let row = |row: &super::study::Row| RowResult {
            name: row.name.clone(),
            own: row.own.clone(),
            seeds: Vec::new(),
        };
        Self {
            name: study.name.clone(),
            file: study.file.clone(),
            base: study.base.clone(),
            budget: study.budget,
            evaluate: study.evaluate.clone(),
            best: study.best.clone(),
            origin,
            rows: study.rows.iter().map(row).collect(),
        }
    }

    /// Merges trainings that are missing here, and those with more evaluations there.
    pub(super) fn complete_with(&mut self, other: Self) {
        for (row, more) in self.rows.iter_mut().zip(other.rows) {
            for seed in more.seeds {
                match row.seeds.iter_mut().find(|own| own.seed == seed.seed) {
                    Some(own) if own.evaluations.len() < seed.evaluations.len() => *own = seed,
                    Some(_) => {}
                    None => row.seeds.push(seed),
                }
            }
        }
    }

    /// Every failure, with its row, seed and evaluation.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut all = Vec::new();
        for row in &self.rows {
            for seed in &row.seeds {
                let of = format!("{}, seed {}", row.name, seed.seed);
                if let Some(reason) = &seed.failed {
                    all.push(format!("{of}: training: {reason}"));
                }
                for evaluated in &seed.evaluations {
                    if let Some(reason) = &evaluated.failed {
                        all.push(format!("{of}, {}, {}: {reason}", evaluated.average, evaluated.sampling));
                    }
                }
            }
        }
        all
    }
}

impl Evaluated {
    /// Every metric that has a value.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        self.said.as_ref().map(metric::all).unwrap_or_default()
    }

    /// The metric of that name; a plain `NAME` matches the first one of this name.
    pub(super) fn metric(&self, wanted: &str) -> Option<Metric> {
        let is = |metric: &Metric| metric.id == wanted || metric.id.split(':').next() == Some(wanted);
        self.metrics().into_iter().find(is)
    }
}

/// The rows whose trainings with their first seed have the best value, best first: the `count` of `[best]`.
pub(super) fn best(study: &Study, results: &Results) -> Vec<usize> {
    let Some(best) = &study.best else { return Vec::new() };
    let mut ranked: Vec<(usize, f64)> = Vec::new();
    for (index, (row, result)) in study.rows.iter().zip(&results.rows).enumerate() {
        let first = result.seeds.iter().find(|seed| Some(&seed.seed) == row.seeds.first());
        let metrics = first.into_iter().flat_map(|seed| &seed.evaluations);
        let metrics = metrics.filter_map(|evaluated| evaluated.metric(&study.evaluate.metric));
        // The sign is chosen so that less is better.
        let values = metrics.map(|metric| if metric.lower_is_better { metric.value } else { -metric.value });
        ranked.extend(values.min_by(f64::total_cmp).map(|value| (index, value)));
    }
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    ranked.into_iter().take(best.count).map(|(index, _)| index).collect()
}

/// The further seeds of a row among the best.
pub(super) fn further_seeds(study: &Study, row: usize) -> Vec<u64> {
    let seeds = study.best.iter().flat_map(|best| &best.seeds).copied();
    seeds.filter(|seed| !study.rows[row].seeds.contains(seed)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ablate::read::parse;
    use serde_json::json;

    pub(in crate::ablate) fn origin() -> Origin {
        let text = |text: &str| text.to_owned();
        Origin { commit: text("abc"), machine: text("a CPU, 2 threads"), date: text("2026-11-29") }
    }

    /// The part of `ddpm evaluate`'s answer that is used.
    pub(in crate::ablate) fn said(fd: f64, better: &str) -> Value {
        json!({
            "features": { "name": "f", "sha256": "s" }, "seconds": 2.0,
            "metrics": [
                { "name": "kd", "title": "KD", "reference": "train", "value": fd / 10.0, "low": null, "high": null,
                  "better": "lower" },
                { "name": "kd", "title": "KD", "reference": "test", "value": fd, "better": "lower" },
                { "name": "swd", "title": "SWD", "reference": null, "value": null, "better": "lower" },
                { "name": "fd", "title": "FD (f)", "reference": "train", "value": fd, "low": fd - 1.0, "high": fd + 2.0,
                  "better": better },
                { "name": "fd", "title": "FD (f)", "reference": "test", "value": fd + 5.0, "low": fd, "high": fd + 9.0,
                  "better": better },
            ],
        })
    }

    pub(in crate::ablate) fn trained(
        study: &Study,
        row: usize,
        seed: u64,
        values: &[f64],
        better: &str,
    ) -> SeedResult {
        let evaluated = |((average, sampling), value): (&(Average, Sampling), &f64)| Evaluated {
            average: *average,
            sampling: sampling.clone(),
            average_error: None,
            said: Some(said(*value, better)),
            failed: None,
        };
        let evaluations = study.rows[row].evaluations.iter().zip(values).map(evaluated).collect();
        SeedResult {
            seed,
            steps: Some(70),
            seconds: Some(2.5),
            origin: Some(origin()),
            failed: None,
            evaluations,
        }
    }

    /// Rows a, b, c with two evaluations each.
    pub(in crate::ablate) fn study() -> Study {
        let text = "[base]\npreset = 'tiny-16'\n[budget]\nsteps = 70\n[evaluate]\nn = 9\nmetrics = ['fd', 'kd']\n\
                    samplings = [{ sampler = 'ddim', steps = 4 }, { sampler = 'ddpm', steps = 9 }]\n\
                    [best]\ncount = 2\nseeds = [0, 1, 2]\n\
                    [[row]]\nname = 'a'\n[[row]]\nname = 'b'\nobjective = 'v'\nseeds = [0, 1]\n[[row]]\nname = 'c'\nset = ['train.lr=1']";
        parse(text, "s.toml", "s").unwrap()
    }

    pub(in crate::ablate) fn results(values: [&[f64]; 3], better: &str) -> Results {
        let study = study();
        let mut results = Results::new(&study, origin());
        for (row, values) in values.into_iter().enumerate() {
            results.rows[row].seeds.push(trained(&study, row, 0, values, better));
        }
        results
    }

    #[test]
    fn metrics_are_found_by_name_and_reference() {
        let results = results([&[4.0], &[], &[]], "lower");
        let evaluated = &results.rows[0].seeds[0].evaluations[0];
        assert_eq!(evaluated.metric("fd").unwrap().id, "fd:train");
        let test = evaluated.metric("fd:test").unwrap();
        assert_eq!(
            (test.value, test.interval, test.title.as_str()),
            (9.0, Some((4.0, 13.0)), "FD (f), test")
        );
        assert_eq!(evaluated.metric("kd").unwrap().interval, None);
        assert!(evaluated.metric("f").is_none() && evaluated.metric("fd:val").is_none());
    }

    #[test]
    fn the_best_rows_are_those_of_the_first_seed_s_best_evaluation() {
        let study = study();
        let mut results = results([&[5.0, 4.0], &[9.0, 2.0], &[3.0, 8.0]], "lower");
        assert_eq!(best(&study, &results), [1, 2]);
        // Other seeds do not count, and failed rows are not ranked.
        results.rows[0].seeds.push(trained(&study, 0, 1, &[0.1, 0.1], "lower"));
        assert_eq!(best(&study, &results), [1, 2]);
        results.rows[1].seeds[0].evaluations.clear();
        assert_eq!(best(&study, &results), [2, 0]);
        let higher = super::tests::results([&[5.0, 4.0], &[9.0, 2.0], &[3.0, 8.0]], "higher");
        assert_eq!(best(&study, &higher), [1, 2]);
        assert_eq!(best(&study, &super::tests::results([&[7.0], &[6.0], &[5.0]], "higher")), [0, 1]);
        assert_eq!((further_seeds(&study, 0), further_seeds(&study, 1)), (vec![1, 2], vec![2]));
        let without = Study { best: None, ..study };
        assert!(best(&without, &higher).is_empty() && further_seeds(&without, 0).is_empty());
    }

    #[test]
    fn results_are_completed_with_those_that_have_more() {
        let mut some = results([&[5.0, 4.0], &[9.0], &[]], "lower");
        some.rows[2].seeds.clear();
        let more = results([&[7.0], &[9.0, 2.0], &[3.0]], "lower");
        some.complete_with(more.clone());
        assert_eq!(some.rows[1..], more.rows[1..]);
        assert_eq!(some.rows[0].seeds[0].evaluations.len(), 2);
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let mut results = results([&[5.0, 4.0], &[9.0], &[]], "lower");
        results.rows[2].seeds[0].failed = Some("diverged".to_owned());
        results.rows[1].seeds[0].evaluations[0].said = None;
        results.rows[1].seeds[0].evaluations[0].failed = Some("no features".to_owned());
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
        assert_eq!(
            results.failures(),
            ["b, seed 0, own, ddim 4: no features", "c, seed 0: training: diverged"]
        );
    }
}
