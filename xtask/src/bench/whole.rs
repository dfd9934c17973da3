//! Measurements of whole processes: a training run with its data, log, grids and checkpoints; images from a cold start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::rounds::{median, object};
use super::venv::reason;

/// A quick run is this many times shorter than the default one, with its grids and checkpoints.
const SHORTER: u32 = 20;

/// The default run: steps, sampling steps per grid, steps between grids and between checkpoints.
const DEFAULT_RUN: [(&str, u32); 4] = [
    ("train.steps", 3000),
    ("sample.steps", 60),
    ("train.sample_every", 1500),
    ("train.checkpoint_every", 500),
];

/// A whole run beside bare steps of the same network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Whole {
    /// The length of the run, in words.
    pub(super) what: String,
    /// All images over the whole time between the first step and the last file.
    pub(super) images_per_s: f64,
    /// Rates of bare steps, before the run and after it.
    pub(super) bare: Vec<f64>,
}

impl Whole {
    /// The run's rate relative to the bare steps, and relative to each of these.
    pub(super) fn share(&self) -> (f64, [f64; 2]) {
        let low = self.images_per_s / self.bare.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let high = self.images_per_s / self.bare.iter().copied().fold(f64::INFINITY, f64::min);
        (self.images_per_s / median(&self.bare), [low, high])
    }
}

/// Bare steps, a run of the default preset into `run`, bare steps again.
pub(super) fn train(ddpm: &Path, run: &Path, quick: bool) -> anyhow::Result<Whole> {
    let steps = if quick { "5" } else { "20" };
    let bare = || -> anyhow::Result<Value> { ours(ddpm, &["bench", "train", "--steps", steps, "--json"]) };
    let before = bare()?;
    if run.exists() {
        fs::remove_dir_all(run).with_context(|| format!("{} cannot be removed", run.display()))?;
    }
    let set = run_settings(quick);
    let mut args = vec!["train", "--json", "--run", run.to_str().context("the path is not UTF-8")?];
    args.extend(set.iter().flat_map(|setting| ["--set", setting]));
    let said = ours(ddpm, &args)?;
    let after = bare()?;

    let number = |said: &Value, key: &str| said[key].as_f64().with_context(|| format!("no {key} in {said}"));
    let (steps, batch) = (number(&said, "steps")?, number(&before, "batch")?);
    let what = if quick { format!("1/{SHORTER} of the default run") } else { "the default run".to_owned() };
    Ok(Whole {
        what,
        images_per_s: steps * batch / number(&said, "seconds")?,
        bare: vec![number(&before, "images_per_s")?, number(&after, "images_per_s")?],
    })
}

/// The run's settings as `KEY=VALUE`.
fn run_settings(quick: bool) -> Vec<String> {
    let by = if quick { SHORTER } else { 1 };
    DEFAULT_RUN.iter().map(|(key, steps)| format!("{key}={}", steps / by)).collect()
}

/// Seconds from process start until 64 images of the run are in a file, for each try.
pub(super) fn images(ddpm: &Path, run: &Path, tries: usize) -> anyhow::Result<Vec<f64>> {
    let out = run.with_file_name("images");
    let (run, out) =
        (run.to_str().context("the path is not UTF-8")?, out.to_str().context("the path is not UTF-8")?);
    let words = "sample --count 64 --batch 64 --sampler dpmpp-2m --steps 15 --json --out";
    let mut args: Vec<&str> = words.split(' ').collect();
    args.extend([out, "--run", run]);
    (0..tries)
        .map(|_| {
            let begun = Instant::now();
            ours(ddpm, &args)?;
            Ok(begun.elapsed().as_secs_f64())
        })
        .collect()
}

/// The folder for runs of this command and their images.
pub(super) fn scratch(root: &Path) -> PathBuf {
    root.join("out/bench-run/run")
}

/// Runs our program and parses its answer.
fn ours(ddpm: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(ddpm);
    object(&output(command.args(args))?)
}

/// Standard output of a successful program; otherwise its last error in one line.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    // The user's log settings must not add lines.
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    let line = crate::process::line_of(command);
    let output = command.output().with_context(|| format!("`{line}` cannot be started"))?;
    ensure!(
        output.status.success(),
        "`{line}`: expected exit code 0, found {}: {}",
        output.status,
        reason(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_steps_before_and_after() {
        let whole = Whole { what: String::new(), images_per_s: 90.0, bare: vec![100.0, 80.0] };
        assert_eq!(whole.share(), (1.0, [0.9, 1.125]));
    }

    /// The quick run has as many grids and checkpoints per step as the preset.
    #[test]
    fn the_settings_are_those_of_the_default_preset() {
        let preset = include_str!("../../../assets/configs/fashion-28.toml");
        for (key, value) in DEFAULT_RUN {
            let (group, name) = key.split_once('.').unwrap();
            let of_group = preset.split(&format!("[{group}]")).nth(1).unwrap();
            assert!(of_group.contains(&format!("{name} = {value}\n")), "{key} = {value}");
            assert_eq!(value % SHORTER, 0, "{key}");
        }
        assert_eq!(run_settings(true)[0], "train.steps=150");
    }

    #[test]
    fn a_failure_is_one_line() {
        let error = output(Command::new("sh").args(["-c", "echo a >&2; echo b >&2; exit 3"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.ends_with("exit status: 3: b") && text.lines().count() == 1, "{text}");
        assert_eq!(output(Command::new("sh").args(["-c", "echo out"])).unwrap(), "out\n");
    }
}
