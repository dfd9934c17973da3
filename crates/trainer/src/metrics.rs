//! The log of a run: one JSON object per logged step in `metrics.jsonl`.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::step::StepReport;

/// Number of equal parts of the chain in `loss_by_t`.
pub const LOSS_BUCKETS: usize = 10;

/// A line of `metrics.jsonl`: means over the steps since the previous line.
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
    /// Training images per second.
    pub images_per_s: f64,
    /// Mean loss by tenth of the chain, smallest t first; `None` if no t fell into the tenth.
    pub loss_by_t: Vec<Option<f64>>,
}

/// Sums since the last line. They are part of a checkpoint, so that a resumed run logs the same numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    steps: u64,
    loss: f64,
    grad_norm: f64,
    bucket_loss: [f64; LOSS_BUCKETS],
    bucket_count: [u64; LOSS_BUCKETS],
}

impl Interval {
    /// Adds a step for a path with `timesteps` steps.
    pub fn add(&mut self, report: &StepReport, timesteps: usize) {
        self.steps += 1;
        self.loss += report.loss;
        self.grad_norm += report.grad_norm;
        for (&t, &loss) in report.t.iter().zip(&report.losses) {
            // t may be an integer step of a chain, or lie in between on another path.
            let bucket = (t.max(0.0) as usize * LOSS_BUCKETS / timesteps).min(LOSS_BUCKETS - 1);
            self.bucket_loss[bucket] += f64::from(loss);
            self.bucket_count[bucket] += 1;
        }
    }

    /// Whether no step was added.
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

/// A record of a file with one record per line.
pub(crate) trait Line: Serialize + DeserializeOwned {
    /// Steps done when it was written.
    fn step(&self) -> u64;

    /// Describes what is wrong with it.
    fn check(&self) -> Result<(), String>;
}

impl Line for Record {
    fn step(&self) -> u64 {
        self.step
    }

    fn check(&self) -> Result<(), String> {
        check_parts(self.loss_by_t.len())
    }
}

/// Refuses a line with too many parts of the chain.
pub(crate) fn check_parts(parts: usize) -> Result<(), String> {
    if parts > MAX_BUCKETS {
        return Err(format!("{parts} parts of the chain, more than {MAX_BUCKETS}"));
    }
    Ok(())
}

/// Most bytes per line: some hundred times those of a normal line.
const MAX_LINE: u64 = 64 << 10;

/// Most parts of the chain in a line: several times the normal number, so that a line takes little more memory than its
/// bytes.
const MAX_BUCKETS: usize = 64;

/// Appends a line.
pub(crate) fn append<L: Line>(path: &Path, record: &L) -> Result<(), TrainerError> {
    let line = serde_json::to_string(record).map_err(|e| TrainerError::Caller(e.into()))? + "\n";
    let opened = files::open_own(path, OpenOptions::new().create(true).append(true));
    let mut file = opened.map_err(TrainerError::file(path))?;
    let (first, second) = line.as_bytes().split_at(line.len() / 2);
    let written = file
        .write_all(first)
        .and_then(|()| files::faults::pass("half-logged", path))
        .and_then(|()| file.write_all(second));
    written.map_err(TrainerError::file(path))
}

/// Reads the lines of a file that may not exist yet. Ignores a last line cut off by a crash.
pub(crate) fn read<L: Line>(path: &Path) -> Result<Vec<L>, TrainerError> {
    let mut records = Vec::new();
    each_line(path, |_, record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// Drops the lines after `step`: the run continues from there and writes them again.
pub(crate) fn truncate_after<L: Line>(path: &Path, step: u64) -> Result<(), TrainerError> {
    // Check everything before writing anything.
    if !each_line(path, |_, _: L| Ok(()))? {
        return Ok(());
    }
    let mut failed = None;
    let written = files::write_atomic_with(path, |out| {
        let copied = each_line(
            path,
            |line, record: L| if record.step() <= step { out.write_all(line) } else { Ok(()) },
        );
        failed = copied.err();
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => written.map_err(TrainerError::file(path)),
    }
}

/// Passes every complete line, with its line break, to a function, one at a time. Returns whether the file exists.
fn each_line<L: Line>(
    path: &Path,
    mut visit: impl FnMut(&[u8], L) -> io::Result<()>,
) -> Result<bool, TrainerError> {
    let file = match files::open_regular(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => return Ok(false),
        Err(e) => return Err(TrainerError::file(path)(e)),
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
        read.map_err(TrainerError::file(path))?;
        let refuse = |found: String| TrainerError::Metrics { path: path.to_owned(), line: number, found };
        if line.len() as u64 > MAX_LINE {
            return Err(refuse(format!("more than {MAX_LINE} bytes")));
        }
        if line.last() != Some(&b'\n') {
            break;
        }
        let record: L = serde_json::from_slice(&line).map_err(|e| refuse(e.to_string()))?;
        record.check().map_err(refuse)?;
        visit(&line, record).map_err(TrainerError::file(path))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn report(loss: f64, t: &[u32]) -> StepReport {
        StepReport {
            loss,
            grad_norm: 2.0 * loss,
            lr: 0.1,
            losses: vec![loss as f32; t.len()],
            t: t.iter().copied().map(f64::from).collect(),
        }
    }

    #[test]
    fn an_interval_gives_means_and_starts_again() {
        let mut interval = Interval::default();
        interval.add(&report(1.0, &[0, 999]), 1000);
        interval.add(&report(3.0, &[99, 500]), 1000);
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
        assert_eq!(read::<Record>(&path).unwrap(), []);
        let records: Vec<Record> =
            (1..=4).map(|step| Interval::default().finish(step, 0.1 / 3.0, 1.0)).collect();
        records.iter().for_each(|record| append(&path, record).unwrap());
        assert_eq!(read::<Record>(&path).unwrap(), records);
        truncate_after::<Record>(&path, 2).unwrap();
        assert_eq!(read::<Record>(&path).unwrap(), records[..2]);

        // A crash in the middle of a line loses that line only; garbage before it is an error.
        let cut = fs::read_to_string(&path).unwrap() + "{\"step\": 3, \"lo";
        fs::write(&path, cut).unwrap();
        assert_eq!(read::<Record>(&path).unwrap(), records[..2]);
        fs::write(&path, "garbage\n").unwrap();
        assert!(read::<Record>(&path).unwrap_err().to_string().contains("line 1"));
        assert!(truncate_after::<Record>(&path, 2).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"garbage\n");
    }

    /// A line of a gigabyte must not take memory, an endless file no time.
    #[test]
    fn what_is_not_a_log_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        for result in [read::<Record>(&path).map(|_| ()), truncate_after::<Record>(&path, 0)] {
            assert!(result.unwrap_err().to_string().contains("line 1: expected a record"));
        }
        let mut record = Interval::default().finish(1, 0.1, 1.0);
        record.loss_by_t = vec![None; MAX_BUCKETS + 1];
        fs::write(&path, serde_json::to_string(&record).unwrap() + "\n").unwrap();
        assert!(read::<Record>(&path).unwrap_err().to_string().contains("65 parts"));
        #[cfg(unix)]
        for target in ["/dev/zero", "metrics.jsonl", "none"] {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert!(matches!(read::<Record>(&path), Err(TrainerError::File { .. })), "{target}");
        }
    }
}
