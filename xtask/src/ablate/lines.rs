//! Results as lines: one per way of evaluating a training, with its seeds combined, best first.

use super::results::{Results, RowResult, SeedResult};
use super::study::{Average, Sampling};
use crate::metric::Metric;

/// A line of the table and a dot in the picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) row: &'a RowResult,
    pub(super) average: Average,
    pub(super) sampling: &'a Sampling,
    /// The metric that lines are sorted by, one value per seed; at least one.
    pub(super) seeds: Vec<Metric>,
    /// Seed means of the other measured metrics, by name: those with the same reference or none, and the sort metric
    /// with other references. The JSON file has the rest, which would make the table too wide.
    pub(super) others: Vec<(String, f64)>,
    /// Steps of each training.
    pub(super) steps: Option<u64>,
    /// Mean seconds per training.
    pub(super) seconds: Option<f64>,
}

impl Line<'_> {
    /// The mean over the seeds.
    pub(super) fn value(&self) -> f64 {
        mean(self.seeds.iter().map(|metric| metric.value)).unwrap_or(f64::NAN)
    }

    /// From the lowest end of the seeds' 95 % intervals to the highest; `None` if one is unknown.
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        let ends: Vec<(f64, f64)> = self.seeds.iter().map(|metric| metric.interval).collect::<Option<_>>()?;
        ends.into_iter().reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// Standard deviation over the seeds (n - 1); `None` for one seed.
    pub(super) fn spread(&self) -> Option<f64> {
        let n = self.seeds.len();
        if n < 2 {
            return None;
        }
        let squares = self.seeds.iter().map(|metric| (metric.value - self.value()).powi(2));
        Some((squares.sum::<f64>() / (n - 1) as f64).sqrt())
    }

    pub(super) fn title(&self) -> &str {
        self.seeds.first().map_or("", |metric| &metric.title)
    }

    pub(super) fn lower_is_better(&self) -> bool {
        self.seeds.first().is_none_or(|metric| metric.lower_is_better)
    }
}

/// All lines with a value, best first; ties keep the order of the file.
pub(super) fn lines(results: &Results) -> Vec<Line<'_>> {
    let mut all: Vec<Line<'_>> = results.rows.iter().flat_map(|row| of_row(results, row)).collect();
    let lower = all.first().is_none_or(Line::lower_is_better);
    all.sort_by(|a, b| {
        let order = a.value().total_cmp(&b.value());
        if lower { order } else { order.reverse() }
    });
    all
}

/// The best line of each row.
pub(super) fn best_of_rows<'a>(sorted: &[Line<'a>]) -> Vec<Line<'a>> {
    let mut best: Vec<Line<'a>> = Vec::new();
    for line in sorted {
        if best.iter().all(|other| other.row.name != line.row.name) {
            best.push(line.clone());
        }
    }
    best
}

fn of_row<'a>(results: &Results, row: &'a RowResult) -> Vec<Line<'a>> {
    let mut kinds: Vec<(Average, &Sampling)> = Vec::new();
    for evaluated in row.seeds.iter().flat_map(|seed| &seed.evaluations) {
        if !kinds.contains(&(evaluated.average, &evaluated.sampling)) {
            kinds.push((evaluated.average, &evaluated.sampling));
        }
    }
    let line = |(average, sampling): (Average, &'a Sampling)| {
        let of_seed = |seed: &'a SeedResult| {
            let mut all = seed.evaluations.iter();
            all.find(|evaluated| evaluated.average == average && evaluated.sampling == *sampling)
        };
        let evaluated: Vec<_> = row.seeds.iter().filter_map(of_seed).collect();
        let metric = |wanted: &str| -> Vec<Metric> {
            evaluated.iter().filter_map(|evaluated| evaluated.metric(wanted)).collect()
        };
        let seeds = metric(&results.evaluate.metric);
        let sorted_by = seeds.first()?.id.clone();
        let mut others = Vec::new();
        let part = |id: &str| id.split_once(':').map(|(_, reference)| reference.to_owned());
        let name = |id: &str| id.split(':').next().map(str::to_owned);
        let belongs =
            |id: &String| part(id).is_none() || part(id) == part(&sorted_by) || name(id) == name(&sorted_by);
        for id in evaluated.first()?.metrics().into_iter().map(|metric| metric.id).filter(belongs) {
            let value = mean(metric(&id).into_iter().map(|metric| metric.value));
            others.extend(value.filter(|_| id != sorted_by).map(|value| (id, value)));
        }
        let seconds = mean(row.seeds.iter().filter_map(|seed| seed.seconds));
        let steps = row.seeds.iter().find_map(|seed| seed.steps);
        Some(Line { row, average, sampling, seeds, others, steps, seconds })
    };
    kinds.into_iter().filter_map(line).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablate::results::tests::{results, study, trained};

    fn values(lines: &[Line<'_>]) -> Vec<(String, f64)> {
        lines.iter().map(|line| (format!("{} {}", line.row.name, line.sampling), line.value())).collect()
    }

    #[test]
    fn lines_are_sorted_and_seeds_are_one_line() {
        let mut results = results([&[5.0, 4.0], &[9.0, 2.0], &[3.0]], "lower");
        results.rows[1].seeds.push(trained(&study(), 1, 1, &[9.0, 8.0], "lower"));
        let all = lines(&results);
        let expected =
            [("c ddim 4", 3.0), ("a ddpm 9", 4.0), ("a ddim 4", 5.0), ("b ddpm 9", 5.0), ("b ddim 4", 9.0)];
        assert_eq!(values(&all), expected.map(|(name, value)| (name.to_owned(), value)));
        let two = &all[3];
        // 2 and 8: sqrt(9 + 9); intervals from 1 less to 2 more.
        assert_eq!((two.spread(), two.interval()), (Some(18.0_f64.sqrt()), Some((1.0, 10.0))));
        assert_eq!((all[0].spread(), all[0].interval()), (None, Some((2.0, 5.0))));
        assert_eq!(two.others, [("kd:train".to_owned(), 0.5), ("fd:test".to_owned(), 10.0)]);
        assert_eq!((two.steps, two.seconds, two.title()), (Some(70), Some(2.5), "FD (f), train"));
        let best = best_of_rows(&all);
        assert_eq!(
            values(&best).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["c ddim 4", "a ddpm 9", "b ddpm 9"]
        );
    }

    #[test]
    fn where_higher_is_better_the_highest_is_first() {
        let results = results([&[5.0, 4.0], &[9.0], &[3.0]], "higher");
        let all = lines(&results);
        assert_eq!(all.iter().map(Line::value).collect::<Vec<_>>(), [9.0, 5.0, 4.0, 3.0]);
    }

    #[test]
    fn what_has_no_value_has_no_line_and_an_unknown_interval_is_none() {
        let mut results = results([&[5.0, 4.0], &[], &[3.0]], "lower");
        results.rows[2].seeds[0].evaluations[0].said = None;
        results.evaluate.metric = "kd".to_owned();
        let all = lines(&results);
        assert_eq!(values(&all), [("a ddpm 9".to_owned(), 0.4), ("a ddim 4".to_owned(), 0.5)]);
        assert_eq!(all[0].interval(), None);
    }
}
