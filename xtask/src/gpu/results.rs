//! What the stages leave: a JSON object per line, of the kinds below.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The file's name in the folder of `./run --out`.
pub(super) const FILE: &str = "results.jsonl";

/// A line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Head(Head),
    Check(Check),
    Speed(Speed),
    Training(Training),
    Stage(Stage),
}

/// Where and when a run began.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Head {
    pub(super) date: String,
    pub(super) device: String,
    pub(super) gpu: Option<String>,
    pub(super) driver: Option<String>,
    pub(super) memory_mib: Option<f64>,
    pub(super) processor: String,
    pub(super) version: String,
    pub(super) commit: String,
}

/// Something that holds or not; `ok` is absent where it could not be tried.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Check {
    pub(super) stage: String,
    pub(super) name: String,
    pub(super) ok: Option<bool>,
    pub(super) value: Option<f64>,
    pub(super) limit: Option<f64>,
    #[serde(default)]
    pub(super) unit: String,
    pub(super) why: Option<String>,
    /// The number of the run that found it, in the order of the file.
    #[serde(skip)]
    run: usize,
}

/// The time of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Speed {
    pub(super) work: String,
    pub(super) who: String,
    pub(super) precision: Option<String>,
    pub(super) median_s: f64,
    pub(super) images_per_s: f64,
    /// A step that waits for the GPU after each part; ours only.
    pub(super) waited_s: Option<f64>,
    pub(super) share_of_peak: Option<f64>,
    pub(super) gpu_mib: Option<f64>,
    pub(super) gpu_busy_percent: Option<f64>,
}

/// How far the training at the end has come.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Training {
    pub(super) steps: u64,
    pub(super) loss: f64,
    pub(super) images_per_s: f64,
}

/// How a stage ended: ok, FAILED or cut.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Stage {
    pub(super) stage: String,
    pub(super) outcome: String,
    pub(super) seconds: f64,
    pub(super) why: Option<String>,
}

/// All lines of a folder. What was measured again replaces what was before, and a stage that came to its end replaces all
/// its earlier checks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Results {
    /// The newest.
    pub(super) head: Option<Head>,
    pub(super) stages: Vec<Stage>,
    pub(super) checks: Vec<Check>,
    pub(super) speeds: Vec<Speed>,
    pub(super) training: Option<Training>,
    /// Runs so far.
    runs: usize,
}

impl Results {
    /// Reads the file of a folder.
    ///
    /// # Errors
    /// When there is none, a line is none of the kinds, or no run is recorded.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{}: expected the results of ./run --out, found no {FILE}", folder.display())
        })?;
        let mut results = Self::default();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            match serde_json::from_str(line) {
                Ok(line) => results.add(line),
                // An interrupted run leaves half a line, and the next run begins a new one with its head.
                Err(error) if error.is_eof() || line.is_empty() => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("{}: line {}", path.display(), index + 1));
                }
            }
        }
        ensure!(
            results.head.is_some() && !results.stages.is_empty(),
            "{}: expected the results of a stage, found none; ./run --out adds them",
            path.display()
        );
        Ok(results)
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Head(head) => {
                self.head = Some(head);
                self.runs += 1;
            }
            Line::Training(training) => self.training = Some(training),
            Line::Stage(stage) => {
                let runs = self.runs;
                if stage.outcome != "cut" {
                    self.checks.retain(|check| check.stage != stage.stage || check.run == runs);
                }
                put(&mut self.stages, stage, |a, b| a.stage == b.stage);
            }
            Line::Check(check) => {
                let check = Check { run: self.runs, ..check };
                put(&mut self.checks, check, |a, b| (&a.stage, &a.name) == (&b.stage, &b.name));
            }
            Line::Speed(speed) => put(&mut self.speeds, speed, |a, b| (&a.work, &a.who) == (&b.work, &b.who)),
        }
    }
}

/// Replaces the entry for the same thing, or adds one.
fn put<T>(list: &mut Vec<T>, new: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|old| same(old, &new)) {
        Some(old) => *old = new,
        None => list.push(new),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two runs: the second measured one kind of work again, and its last line was cut.
    pub(in crate::gpu) const RECORDED: &str = r#"{"kind": "head", "date": "2026-01-02", "device": "cuda", "processor": "P", "threads": 8, "minutes": 9.0, "version": "0.1.0", "commit": "abc1234", "gpu": "G-100", "driver": "580.1", "memory_mib": 81920.0}
{"kind": "check", "stage": "doctor", "name": "GPU", "ok": true, "value": null, "limit": null, "unit": "", "why": "1 devices"}
{"kind": "stage", "stage": "doctor", "outcome": "ok", "seconds": 4.25, "why": null, "log": "logs/doctor.log"}
{"kind": "check", "stage": "compare", "name": "tiny-16, f32: output", "ok": true, "value": 0.00000125, "limit": 0.0001, "unit": "relative", "why": null}
{"kind": "check", "stage": "compare", "name": "tiny-16, f32: worst gradient", "ok": true, "value": 0.002, "limit": 0.01, "unit": "relative", "why": "mid.weight of 7 tensors"}
{"kind": "check", "stage": "compare", "name": "tiny-16, bf16: output", "ok": false, "value": 0.25, "limit": 0.1, "unit": "relative", "why": null}
{"kind": "check", "stage": "compare", "name": "solver heun | f32", "ok": null, "value": null, "limit": null, "unit": "", "why": "there is no network"}
{"kind": "stage", "stage": "compare", "outcome": "FAILED", "seconds": 60.0, "why": null, "log": "logs/compare.log"}
{"kind": "speed", "stage": "speed", "work": "train cifar10, 128 images", "who": "ours", "precision": "bf16", "median_s": 0.2, "min_s": 0.2, "images_per_s": 640.0, "parameters": 1, "peak_mib": 900.0, "share_of_peak": 0.4, "peak_gflop_per_s": 1.0, "waited_s": 0.04, "gpu_mib": 9000.0, "gpu_busy_percent": 97.5}
{"kind": "speed", "stage": "spee
{"kind": "head", "date": "2026-01-03", "device": "cuda", "processor": "P", "threads": 8, "minutes": 9.0, "version": "0.1.0", "commit": "abc1234", "gpu": "G-100", "driver": "580.1", "memory_mib": 81920.0}
{"kind": "speed", "stage": "speed", "work": "train cifar10, 128 images", "who": "ours", "precision": "bf16", "median_s": 0.02, "min_s": 0.02, "images_per_s": 6400.0, "parameters": 1, "peak_mib": 900.0, "share_of_peak": 0.4, "peak_gflop_per_s": 1.0, "waited_s": 0.04, "gpu_mib": 9000.0, "gpu_busy_percent": 97.5}
{"kind": "speed", "stage": "speed", "work": "train cifar10, 128 images", "who": "diffusers", "precision": "bf16", "median_s": 0.05, "min_s": 0.05, "images_per_s": 2560.0, "parameters": 1, "peak_mib": 900.0, "share_of_peak": null, "peak_gflop_per_s": null, "waited_s": null, "gpu_mib": 12000.0, "gpu_busy_percent": 90.0}
{"kind": "speed", "stage": "speed", "work": "train cifar10, 128 images", "who": "diffusers compiled", "precision": "bf16", "median_s": 0.02, "min_s": 0.02, "images_per_s": 6400.0, "parameters": 1, "peak_mib": 900.0, "share_of_peak": null, "peak_gflop_per_s": null, "waited_s": null, "gpu_mib": 11000.0, "gpu_busy_percent": 99.0}
{"kind": "stage", "stage": "speed", "outcome": "cut", "seconds": 100.0, "why": "its time was used up", "log": "logs/speed.log"}
{"kind": "training", "stage": "training", "steps": 4000, "loss": 0.031, "images_per_s": 5900.0}
"#;

    pub(in crate::gpu) fn recorded(text: &str) -> anyhow::Result<Results> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Results::read(folder.path())
    }

    #[test]
    fn the_newest_of_each_thing_counts() {
        let results = recorded(RECORDED).unwrap();
        assert_eq!(results.head.unwrap().date, "2026-01-03");
        let sizes = (results.stages.len(), results.checks.len(), results.speeds.len());
        assert_eq!(sizes, (3, 5, 3));
        assert_eq!(results.speeds[0].images_per_s, 6400.0);
        assert_eq!(results.training.unwrap().steps, 4000);
    }

    #[test]
    fn a_stage_that_ends_replaces_its_earlier_checks() {
        let head = RECORDED.lines().next().unwrap();
        let check = r#"{"kind": "check", "stage": "compare", "name": "new", "ok": true, "value": null, "limit": null, "why": null}"#;
        let stage = |outcome: &str| {
            format!(
                r#"{{"kind": "stage", "stage": "compare", "outcome": "{outcome}", "seconds": 1.0, "why": null}}"#
            )
        };
        let left = |outcome: &str| {
            let results = recorded(&format!("{RECORDED}{head}\n{check}\n{}\n", stage(outcome))).unwrap();
            results.checks.iter().filter(|check| check.stage == "compare").count()
        };
        assert_eq!((left("cut"), left("ok"), left("FAILED")), (5, 1, 1));
    }

    #[test]
    fn what_is_no_result_is_refused() {
        let message = |text: &str| format!("{:#}", recorded(text).unwrap_err());
        assert!(message("").contains("expected the results of a stage, found none"));
        let head = RECORDED.lines().next().unwrap();
        assert!(message(head).contains("found none"), "{}", message(head));
        let wrong = message(&format!("{head}\n{{\"kind\": \"news\"}}\n"));
        assert!(wrong.contains("line 2") && wrong.contains("news"), "{wrong}");
        let empty = tempfile::tempdir().unwrap();
        let error = format!("{:#}", Results::read(empty.path()).unwrap_err());
        assert!(error.contains("found no results.jsonl"), "{error}");
    }
}
