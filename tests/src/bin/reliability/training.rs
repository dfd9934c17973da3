//! Small training runs and how they end: the reference for interrupted runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tests::{Output, Place, Running};

use crate::context::Context;

/// No program here takes that long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds of training, in the folder `run`.
const TRAIN: &str = "train --run run --preset tiny-16 --set data.limit=30 --set sample.count=2 --set sample.steps=2 \
                     --set precision=f32";

/// A training run and its length.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// Steps of the whole run.
    pub(crate) steps: u64,
    /// Further settings, as `KEY=VALUE` words.
    pub(crate) set: &'static str,
}

impl Recipe {
    /// The command line.
    pub(crate) fn line(&self) -> String {
        let set = self.set.split_whitespace().map(|word| format!(" --set {word}"));
        format!("{TRAIN} --set train.steps={}{}", self.steps, set.collect::<String>())
    }

    /// Runs it to its end.
    pub(crate) fn finish(&self, place: &Place) -> anyhow::Result<Output> {
        finished(place.start(&self.line())?.wait_within(PATIENCE)?)
    }

    /// Runs it undisturbed, then once more.
    pub(crate) fn reference(&self, context: &Context) -> anyhow::Result<Reference> {
        self.reference_by(context, &self.line())
    }

    /// The same by another command that trains it.
    pub(crate) fn reference_by(&self, context: &Context, line: &str) -> anyhow::Result<Reference> {
        let place = context.place()?;
        let finish = || finished(place.start(line)?.wait_within(PATIENCE)?);
        let begun = Instant::now();
        finish()?;
        let seconds = begun.elapsed().as_secs_f64();
        let end = End::of(&place)?;
        ensure!(end.step == self.steps, "the undisturbed run ended at step {}", end.step);
        // The second time it starts, finds nothing to do and stops.
        let begun = Instant::now();
        finish()?;
        let start = begun.elapsed().as_secs_f64().min(seconds);
        Ok(Reference { end, start, step: (seconds - start) / self.steps as f64 })
    }
}

/// Fails unless the run ended with exit code 0.
pub(crate) fn finished(output: Output) -> anyhow::Result<Output> {
    ensure!(
        output.code == Some(0),
        "expected the run to end with exit code 0, found {:?}: {}",
        output.shell_code(),
        last_line(&output)
    );
    Ok(output)
}

/// The undisturbed run.
#[derive(Debug)]
pub(crate) struct Reference {
    /// How it ended.
    pub(crate) end: End,
    /// Approximate seconds from the start of the process to its first step.
    pub(crate) start: f64,
    /// Approximate seconds per step, including its share of saving.
    pub(crate) step: f64,
}

impl Reference {
    /// Seconds that this many steps take from the start of the process.
    pub(crate) fn seconds(&self, steps: u64) -> f64 {
        self.start + self.step * steps as f64
    }
}

/// The end state of a run: everything that does not depend on the clock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    /// The step of the last checkpoint.
    pub(crate) step: u64,
    /// SHA-256 by name of the files of the last checkpoint and of all grids.
    files: BTreeMap<String, String>,
    /// The lines of `metrics.jsonl` without `images_per_s`.
    records: Vec<Value>,
}

impl End {
    /// The end state of the run in the folder.
    pub(crate) fn of(place: &Place) -> anyhow::Result<Self> {
        let step = newest_saved(place);
        let mut names: Vec<String> = Vec::new();
        for folder in [checkpoint(step), String::from("run/samples")] {
            names.extend(place.names(&folder).into_iter().map(|name| format!("{folder}/{name}")));
        }
        let files = names.into_iter().map(|name| Ok((name.clone(), place.sha256(&name)?)));
        let records = records(place)?.into_iter().map(|mut record| {
            record.as_object_mut().context("a record is not a JSON object")?.remove("images_per_s");
            Ok(record)
        });
        Ok(Self {
            step,
            files: files.collect::<anyhow::Result<_>>()?,
            records: records.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Fails, naming the first difference, unless the other run ended in the same state.
    pub(crate) fn ensure_same(&self, other: &Self) -> anyhow::Result<()> {
        let missing = other.files.keys().find(|name| !self.files.contains_key(*name));
        ensure!(missing.is_none(), "there is no {}", missing.map_or("", String::as_str));
        for (name, sha256) in &self.files {
            ensure!(other.files.get(name) == Some(sha256), "{name} differs from that of the undisturbed run");
        }
        for (mine, others) in self.records.iter().zip(&other.records) {
            ensure!(mine == others, "metrics.jsonl: {mine}, and undisturbed {others}");
        }
        ensure!(self.records.len() == other.records.len(), "metrics.jsonl has {} lines", self.records.len());
        ensure!(!self.records.is_empty() && self.files.len() > 1, "nothing to compare");
        Ok(())
    }
}

/// The folder of a checkpoint.
pub(crate) fn checkpoint(step: u64) -> String {
    format!("run/checkpoints/step-{step:08}")
}

/// The highest step that has a checkpoint folder; 0 when none has.
pub(crate) fn newest_saved(place: &Place) -> u64 {
    let names = place.names("run/checkpoints");
    names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).max().unwrap_or(0)
}

/// Fails unless the program verifies the newest checkpoint; returns its step, 0 if there is none yet.
pub(crate) fn newest_sound(place: &Place) -> anyhow::Result<u64> {
    let step = newest_saved(place);
    if step > 0 {
        let output = place.run(&format!("inspect checkpoint {} --json --device cpu", checkpoint(step)))?;
        ensure!(output.code == Some(0), "step {step} cannot be read: {}", last_line(&output));
        let said: Value = serde_json::from_str(&output.stdout)?;
        ensure!(said["verified"] == true && said["step"] == step, "step {step}: {said}");
    }
    Ok(step)
}

/// The complete lines of `metrics.jsonl`; empty if the file does not exist.
pub(crate) fn records(place: &Place) -> anyhow::Result<Vec<Value>> {
    let text = String::from_utf8(place.read("run/metrics.jsonl").unwrap_or_default())?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("{line:?}"))).collect()
}

/// The last step in `metrics.jsonl`, 0 when there is none.
pub(crate) fn last_logged(place: &Place) -> anyhow::Result<u64> {
    Ok(records(place)?.last().and_then(|record| record["step"].as_u64()).unwrap_or(0))
}

/// Waits until `step` is logged, or a step that comes as soon after a checkpoint: for a harness that may be late.
pub(crate) fn just_after(
    running: &mut Running,
    place: &Place,
    step: u64,
    interval: u64,
) -> anyhow::Result<()> {
    let (begun, mut step) = (Instant::now(), step);
    while begun.elapsed() < PATIENCE {
        let logged = last_logged(place)?;
        if logged > step + 1 {
            step += interval;
        } else if logged >= step {
            return Ok(());
        }
        ensure!(!running.let_run(Duration::from_millis(2))?, "the run ended after step {logged}");
    }
    bail!("step {step} was never reached")
}

/// Unfinished files and folders, anywhere in the run.
pub(crate) fn leftovers(place: &Place) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![place.at("run")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                found.push(path);
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(found.iter().map(|path| path.strip_prefix(place.path()).unwrap_or(Path::new("")).to_owned()).collect())
}

/// Fails when something half-written is left.
pub(crate) fn ensure_tidy(place: &Place) -> anyhow::Result<()> {
    let left = leftovers(place)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// Fails unless the program ended with this code and one error line that contains all the words.
pub(crate) fn ensure_one_line(output: &Output, code: i32, words: &[&str]) -> anyhow::Result<()> {
    let errors = output.errors();
    ensure!(
        output.code == Some(code),
        "expected exit code {code}, found {:?}: {}",
        output.shell_code(),
        last_line(output)
    );
    ensure!(errors.len() == 1 && errors[0].starts_with("error: "), "expected one line of error: {errors:?}");
    for word in words {
        ensure!(errors[0].contains(word), "expected {word:?} in: {}", errors[0]);
    }
    Ok(())
}

/// The last line of standard error.
pub(crate) fn last_line(output: &Output) -> &str {
    output.stderr.trim_end().lines().last().unwrap_or_default()
}
