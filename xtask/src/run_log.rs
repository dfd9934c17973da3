//! The logged speed of a run.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

/// The logged speed of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Log {
    batch: f64,
    /// Steps of each line, and seconds per step.
    intervals: Vec<(u64, f64)>,
}

impl Log {
    /// Reads `metrics.jsonl`, and the batch size from `config.toml`.
    pub(crate) fn read(run: &Path) -> anyhow::Result<Self> {
        let config = run.join("config.toml");
        let table: toml::Table = fs::read_to_string(&config)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(text.parse()?))
            .with_context(|| config.display().to_string())?;
        let batch = table.get("train").and_then(|train| train.get("batch")).and_then(toml::Value::as_integer);
        let batch = batch.with_context(|| format!("{}: no train.batch", config.display()))? as f64;
        let path = run.join("metrics.jsonl");
        let lines = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let (mut intervals, mut before) = (Vec::new(), 0);
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| path.display().to_string())?;
            let speed = line["images_per_s"].as_f64().filter(|&speed| speed > 0.0);
            let (Some(step), Some(speed)) = (line["step"].as_u64(), speed) else { continue };
            intervals.push((step.saturating_sub(before), batch / speed));
            before = step;
        }
        ensure!(!intervals.is_empty(), "{}: nothing was logged", path.display());
        Ok(Self { batch, intervals })
    }

    /// Total seconds of the steps. This excludes checkpoints, grids, and the lost work of a killed run.
    pub(crate) fn seconds(&self) -> f64 {
        self.intervals.iter().map(|&(steps, step_s)| steps as f64 * step_s).sum()
    }

    /// Images per second over all lines except the first, whose steps also allocate memory.
    pub(crate) fn images_per_s(&self) -> anyhow::Result<f64> {
        let skip = usize::from(self.intervals.len() > 1);
        let lines = || self.intervals.iter().skip(skip);
        let steps: u64 = lines().map(|&(steps, _)| steps).sum();
        let seconds: f64 = lines().map(|&(steps, step_s)| steps as f64 * step_s).sum();
        let rate = steps as f64 * self.batch / seconds;
        ensure!(rate.is_finite() && rate > 0.0, "{steps} steps in {seconds} s");
        Ok(rate)
    }

    /// Seconds per step: the median over the lines except the first, whose steps also allocate memory.
    pub(crate) fn median_step(&self) -> anyhow::Result<f64> {
        let skip = usize::from(self.intervals.len() > 1);
        let mut seconds: Vec<f64> = self.intervals.iter().skip(skip).map(|&(_, step_s)| step_s).collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().context("nothing was logged")?;
        ensure!(median.is_finite() && median > 0.0, "a step of {median} s");
        Ok(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_leave_out_the_first_line() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("config.toml"), "[train]\nbatch = 8\n").unwrap();
        let line = |step: u64, speed: u64| format!("{{\"step\": {step}, \"images_per_s\": {speed}}}\n");
        let log = [line(10, 1), line(30, 40), line(40, 10)].concat();
        fs::write(run.path().join("metrics.jsonl"), log).unwrap();
        let log = Log::read(run.path()).unwrap();
        // 20 steps of 0.2 s and 10 of 0.8 s.
        assert!((log.images_per_s().unwrap() - 8.0 * 30.0 / 12.0).abs() < 1e-9);
        assert!((log.seconds() - 92.0).abs() < 1e-9);
    }
}
