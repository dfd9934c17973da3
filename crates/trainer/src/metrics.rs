//! What a run reports: one JSON object a logged step in `metrics.jsonl`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::step::StepReport;

/// The chain is cut into so many equal parts for `loss_by_t`.
pub const LOSS_BUCKETS: usize = 10;

/// A line of `metrics.jsonl`: means over the steps since the line before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done so far: 1 after the first.
    pub step: u64,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Images trained on in a second.
    pub images_per_s: f64,
    /// Mean loss by tenth of the chain, earliest t first; none where no t fell into the tenth.
    pub loss_by_t: Vec<Option<f64>>,
}

/// Sums since the last line. Part of a checkpoint, so that a resumed run logs the very same numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    steps: u64,
    loss: f64,
    grad_norm: f64,
    bucket_loss: [f64; LOSS_BUCKETS],
    bucket_count: [u64; LOSS_BUCKETS],
}

impl Interval {
    /// Adds a step of a process with `timesteps` steps.
    pub fn add(&mut self, report: &StepReport, timesteps: usize) {
        self.steps += 1;
        self.loss += report.loss;
        self.grad_norm += report.grad_norm;
        for (&t, &loss) in report.t.iter().zip(&report.losses) {
            let bucket = (t.max(0) as usize * LOSS_BUCKETS / timesteps).min(LOSS_BUCKETS - 1);
            self.bucket_loss[bucket] += f64::from(loss);
            self.bucket_count[bucket] += 1;
        }
    }

    /// Whether there were no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// The line for the steps so far; the next interval starts empty.
    pub fn finish(&mut self, step: u64, lr: f64, images_per_s: f64) -> Record {
        let sums = std::mem::take(self);
        let steps = sums.steps.max(1) as f64;
        let mean = |(&loss, &count): (&f64, &u64)| (count > 0).then(|| loss / count as f64);
        Record {
            step,
            loss: sums.loss / steps,
            lr,
            grad_norm: sums.grad_norm / steps,
            images_per_s,
            loss_by_t: sums.bucket_loss.iter().zip(&sums.bucket_count).map(mean).collect(),
        }
    }
}

/// Appends a line.
pub(crate) fn append(path: &Path, record: &Record) -> Result<(), TrainerError> {
    let line = serde_json::to_string(record).map_err(|e| TrainerError::Caller(e.into()))? + "\n";
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).map_err(TrainerError::file(path))?;
    let (first, second) = line.as_bytes().split_at(line.len() / 2);
    let written = file
        .write_all(first)
        .and_then(|()| files::faults::pass("half-logged", path))
        .and_then(|()| file.write_all(second));
    written.map_err(TrainerError::file(path))
}

/// Reads the lines of a file that may not exist yet. A last line cut off by a crash is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, TrainerError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(TrainerError::file(path)(e)),
    };
    let whole_lines = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| TrainerError::Metrics {
            path: path.to_owned(),
            line: number + 1,
            found: e.to_string(),
        })
    };
    whole_lines.lines().enumerate().map(parse).collect()
}

/// Drops the lines after `step`: the run goes on from there and will write them again.
pub(crate) fn truncate_after(path: &Path, step: u64) -> Result<(), TrainerError> {
    if !path.exists() {
        return Ok(());
    }
    let records = read(path)?;
    let mut text = String::new();
    for record in records.iter().filter(|record| record.step <= step) {
        text += &serde_json::to_string(record).map_err(|e| TrainerError::Caller(e.into()))?;
        text.push('\n');
    }
    files::write_atomic(path, text.as_bytes()).map_err(TrainerError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(loss: f64, t: Vec<i64>) -> StepReport {
        StepReport { loss, grad_norm: 2.0 * loss, lr: 0.1, losses: vec![loss as f32; t.len()], t }
    }

    #[test]
    fn an_interval_gives_means_and_starts_anew() {
        let mut interval = Interval::default();
        interval.add(&report(1.0, vec![0, 999]), 1000);
        interval.add(&report(3.0, vec![99, 500]), 1000);
        let record = interval.finish(2, 0.1, 50.0);
        assert_eq!((record.loss, record.grad_norm), (2.0, 4.0));
        assert_eq!(record.loss_by_t[0], Some(2.0));
        assert_eq!((record.loss_by_t[5], record.loss_by_t[9]), (Some(3.0), Some(1.0)));
        assert_eq!(record.loss_by_t[1], None);
        assert_eq!(interval, Interval::default());
    }

    #[test]
    fn lines_come_back_and_later_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let records: Vec<Record> =
            (1..=4).map(|step| Interval::default().finish(step, 0.1 / 3.0, 1.0)).collect();
        records.iter().for_each(|record| append(&path, record).unwrap());
        assert_eq!(read(&path).unwrap(), records);
        truncate_after(&path, 2).unwrap();
        assert_eq!(read(&path).unwrap(), records[..2]);

        // A crash in the middle of a line costs that line only; garbage before it is an error.
        let cut = fs::read_to_string(&path).unwrap() + "{\"step\": 3, \"lo";
        fs::write(&path, cut).unwrap();
        assert_eq!(read(&path).unwrap(), records[..2]);
        fs::write(&path, "garbage\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
