//! Every number that a peer computed for some features, next to ours for the same.

use std::fmt::Write;

use metrics::{
    KernelDistance, MetricsError, Moments, Subset, frechet_distance, inception_score, kernel_distance_of,
    neighbours,
};
use ndarray::{Array2, Axis};

use crate::rule::features;

/// The cases, written by `scripts/make_metrics_goldens.py`.
#[derive(serde::Deserialize)]
struct Case {
    /// Rows of the data.
    rows: usize,
    /// Rows of the samples.
    others: usize,
    columns: usize,
    k: usize,
    splits: usize,
    exact: f64,
    pytorch_fid: f64,
    /// Whether pytorch-fid added to the covariances to get a root.
    pytorch_fid_adds: bool,
    torch_fidelity: f64,
    kernel_whole: f64,
    #[serde(default)]
    subsets: Vec<Subset>,
    kernel_subsets: Option<[f64; 2]>,
    score: [f64; 2],
    fidelity_shares: [f64; 2],
    prdc: [f64; 4],
}

/// One number of ours and a peer's.
pub(crate) struct Row {
    set: String,
    metric: &'static str,
    peer: &'static str,
    ours: f64,
    theirs: f64,
    /// Largest relative error that passes.
    limit: f64,
}

impl Row {
    fn error(&self) -> f64 {
        let gap = (self.ours - self.theirs).abs();
        // For a share that is 0, the absolute error.
        if self.theirs == 0.0 { gap } else { gap / self.theirs.abs() }
    }

    pub(crate) fn passes(&self) -> bool {
        self.error() <= self.limit
    }
}

/// Relative errors that pass.
const FRECHET: f64 = 1e-6;
const KERNEL: f64 = 1e-5;
const SHARES: f64 = 1e-5;
const SCORE: f64 = 1e-6;

/// All rows, in the order of the file.
pub(crate) fn all() -> Result<Vec<Row>, Error> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("goldens.json"))?;
    let mut rows = Vec::new();
    for case in &cases {
        case.replay(&mut rows)?;
    }
    Ok(rows)
}

/// An error of a replay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("goldens.json: {0}")]
    Goldens(#[from] serde_json::Error),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl Case {
    fn replay(&self, rows: &mut Vec<Row>) -> Result<(), Error> {
        let singular = if self.columns >= self.rows.min(self.others) { ", singular" } else { "" };
        let set = format!("{}+{} x {}{singular}", self.rows, self.others, self.columns);
        let mut add = |metric, peer, ours, theirs, limit| {
            rows.push(Row { set: set.clone(), metric, peer, ours, theirs, limit });
        };
        let data = features("data", self.rows, self.columns, 1.0, 0.0);
        let samples = features("samples", self.others, self.columns, 1.2, 0.1);

        let frechet = frechet_distance(&Moments::of(&samples)?, &Moments::of(&data)?)?;
        add("Frechet", "singular values", frechet, self.exact, 1e-10);
        let peer = if self.pytorch_fid_adds { "pytorch-fid (+1e-6)" } else { "pytorch-fid" };
        add("Frechet", peer, frechet, self.pytorch_fid, FRECHET);
        add("Frechet", "torch-fidelity", frechet, self.torch_fidelity, FRECHET);

        let both = self.rows.min(self.others);
        let whole = [((0..both).collect(), (0..both).collect())];
        let kernel = kernel_distance_of(&data, &samples, &whole)?.mean;
        add("kernel, all rows", "torch-fidelity", kernel, self.kernel_whole, KERNEL);
        if let Some([mean, deviation]) = self.kernel_subsets {
            let KernelDistance { mean: of, deviation: spread } =
                kernel_distance_of(&data, &samples, &self.subsets)?;
            add("kernel, its subsets", "torch-fidelity", of, mean, KERNEL);
            add("kernel, deviation", "torch-fidelity", spread, deviation, KERNEL);
        }

        let near = neighbours(&data, &samples, self.k)?;
        let [precision, recall, density, coverage] = self.prdc;
        add("precision", "prdc", near.precision, precision, SHARES);
        add("precision", "torch-fidelity", near.precision, self.fidelity_shares[0], SHARES);
        add("recall", "prdc", near.recall, recall, SHARES);
        add("recall", "torch-fidelity", near.recall, self.fidelity_shares[1], SHARES);
        add("density", "prdc", near.density, density, SHARES);
        add("coverage", "prdc", near.coverage, coverage, SHARES);

        let (mean, deviation) = inception_score(&answers(&data), self.splits)?;
        add("Inception score", "torch-fidelity", mean, self.score[0], SCORE);
        add("its deviation", "torch-fidelity", deviation, self.score[1], SCORE);
        Ok(())
    }
}

/// Softmax of three times the features.
fn answers(features: &Array2<f32>) -> Array2<f64> {
    let mut answers = features.mapv(|x| (3.0 * f64::from(x)).exp());
    for mut row in answers.axis_iter_mut(Axis(0)) {
        let sum = row.sum();
        row.mapv_inplace(|value| value / sum);
    }
    answers
}

/// The rows as text, and what failed in the last line.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<24} {:<20} {:<20} {:>14} {:>14} {:>9} {:>7}\n",
        "data+samples x width", "metric", "peer", "ours", "theirs", "error", "limit"
    );
    for row in rows {
        let verdict = if row.passes() { "" } else { "  FAILS" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<24} {:<20} {:<20} {:>14.8} {:>14.8} {:>9.1e} {:>7.0e}{verdict}",
            row.set,
            row.metric,
            row.peer,
            row.ours,
            row.theirs,
            row.error(),
            row.limit
        );
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    let _ = writeln!(text, "{} of {} numbers agree", rows.len() - failed, rows.len());
    text
}
