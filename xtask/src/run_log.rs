//! The logged speed of a run.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

/// The logged speed of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Log {
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
        Ok(Self { intervals })
    }

    /// Total seconds of the steps. This excludes checkpoints, grids, and the lost work of a killed run.
    pub(crate) fn seconds(&self) -> f64 {
        self.intervals.iter().map(|&(steps, step_s)| steps as f64 * step_s).sum()
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
