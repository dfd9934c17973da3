//! The numbers that compare features of samples with those of real images.

use std::collections::BTreeSet;

use anyhow::Context;
use features::Extracted;
use metrics::{
    Interval, MetricsError, Moments, frechet_distance, frechet_interval, inception_score, kernel_distance,
    kernel_error, neighbours, sliced_wasserstein,
};
use ndarray::{Array2, Axis};
use random::{Purpose, Stream};

use crate::commands::evaluate::references::Reference;
use crate::commands::evaluate::wanted::Wanted;
use crate::commands::evaluation::Metric;

/// Number of subsets for the kernel distance, and rows in each (Binkowski et al. 2018).
const SUBSETS: (usize, usize) = (100, 1000);
/// The k-th nearest neighbour sets the radius of a ball (Naeem et al. 2020).
const NEIGHBOUR: usize = 5;
/// Random projections for the sliced Wasserstein distance.
const LINES: usize = 500;
/// Parts of the samples whose Inception scores are averaged (Salimans et al. 2016).
const SPLITS: usize = 10;
/// Half width of a 95 % interval in standard errors.
const SIDE: f64 = 1.96;

/// The features that are compared, and the names of the metrics.
pub(crate) struct Scores<'a> {
    pub(crate) wanted: &'a BTreeSet<Wanted>,
    pub(crate) samples: &'a Extracted,
    /// Title of the Frechet distance.
    pub(crate) distance_title: String,
    pub(crate) seed: u64,
}

impl Scores<'_> {
    /// Metrics of the samples alone.
    pub(crate) fn alone(&self) -> anyhow::Result<Vec<Metric>> {
        if !self.wanted.contains(&Wanted::Is) {
            return Ok(Vec::new());
        }
        let answers = self.samples.answers.as_ref();
        let answers =
            answers.context("--metrics is: these features have no class probabilities of a classifier")?;
        // Shuffle, since a folder is read class by class.
        let order = Stream::new(self.seed, Purpose::Evaluate, 0, 4).permutation(answers.nrows() as u32);
        let order: Vec<usize> = order.iter().map(|&row| row as usize).collect();
        let answers = answers.select(Axis(0), &order);
        let (mean, deviation) = inception_score(&answers, SPLITS).context("--metrics is")?;
        let side = SIDE * deviation / (SPLITS as f64).sqrt();
        Ok(vec![Metric {
            name: "is".to_owned(),
            title: "Inception score form".to_owned(),
            reference: None,
            value: mean,
            low: Some(mean - side),
            high: Some(mean + side),
            better: "higher".to_owned(),
        }])
    }

    /// Metrics against a set of real images with known features.
    pub(crate) fn against(&self, reference: &Reference) -> anyhow::Result<Vec<Metric>> {
        let Some(real) = &reference.rows else { return Ok(Vec::new()) };
        let (x, y) = (&self.samples.features, &real.features);
        let part = reference.part;
        let metric = |name: &str, title: &str, value: f64, side: Option<f64>, better: &str| Metric {
            name: name.to_owned(),
            title: title.to_owned(),
            reference: Some(part.to_owned()),
            value,
            low: side.map(|side| value - side),
            high: side.map(|side| value + side),
            better: better.to_owned(),
        };
        let mut metrics = Vec::new();
        for wanted in self.wanted {
            match wanted {
                Wanted::Fd => {
                    let (value, interval) = frechet(x, y).context("--metrics fd")?;
                    let distance = metric("fd", &self.distance_title, value, None, "lower");
                    let (low, high) = (interval.map(|found| found.low), interval.map(|found| found.high));
                    metrics.push(Metric { low, high, ..distance });
                }
                Wanted::Kd => {
                    let size = SUBSETS.1.min(x.nrows()).min(y.nrows());
                    let distance =
                        kernel_distance(x, y, (SUBSETS.0, size), self.seed).context("--metrics kd")?;
                    // The subsets overlap, so their spread does not show how other samples would vary.
                    let side = kernel_error(x, y).ok().map(|error| SIDE * error);
                    metrics.push(metric("kd", "kernel distance", distance.mean, side, "lower"));
                }
                Wanted::Prdc => metrics.extend(self.shares(x, y, part)?),
                Wanted::Swd => {
                    let distance = sliced_wasserstein(x, y, LINES, self.seed).context("--metrics swd")?;
                    metrics.push(metric("swd", "sliced Wasserstein distance", distance, None, "lower"));
                }
                Wanted::Is | Wanted::Copying | Wanted::Bpd | Wanted::Ode => {}
            }
        }
        Ok(metrics)
    }

    fn shares(&self, x: &Array2<f32>, y: &Array2<f32>, part: &str) -> anyhow::Result<Vec<Metric>> {
        let found = neighbours(y, x, NEIGHBOUR).context("--metrics prdc")?;
        let share = |name: &str, value: f64, units: usize| {
            let (low, high) = wilson(value, units);
            Metric {
                name: name.to_owned(),
                title: name.to_owned(),
                reference: Some(part.to_owned()),
                value,
                low: Some(low),
                high: Some(high),
                better: "higher".to_owned(),
            }
        };
        let density = Metric { low: None, high: None, ..share("density", found.density, x.nrows()) };
        Ok(vec![
            share("precision", found.precision, x.nrows()),
            share("recall", found.recall, y.nrows()),
            density,
            share("coverage", found.coverage, y.nrows()),
        ])
    }
}

/// The Frechet distance of samples to real images, with an interval if there are enough samples for one.
fn frechet(samples: &Array2<f32>, real: &Array2<f32>) -> Result<(f64, Option<Interval>), MetricsError> {
    let reference = Moments::of(real)?;
    match frechet_interval(samples, &reference) {
        Ok(found) => Ok((found.value, Some(found))),
        Err(MetricsError::TooFew { .. } | MetricsError::Flat) => {
            Ok((frechet_distance(&Moments::of(samples)?, &reference)?, None))
        }
        Err(error) => Err(error),
    }
}

/// The 95 % interval of a proportion of `count` (Wilson 1927).
fn wilson(share: f64, count: usize) -> (f64, f64) {
    let (n, z) = (count as f64, SIDE);
    let middle = share + z * z / (2.0 * n);
    let side = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    // Keep rounding from leaving the range of a proportion.
    (((middle - side) / whole).max(0.0), ((middle + side) / whole).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::wilson;

    /// Newcombe 1998, Table I: 81 of 263, and 0 of 20.
    #[test]
    fn intervals_of_shares_are_wilsons() {
        let (low, high) = wilson(81.0 / 263.0, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(0.0, 20);
        assert!(low.abs() < 1e-9 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
    }
}
