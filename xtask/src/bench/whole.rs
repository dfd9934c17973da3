//! What only whole processes show: a run of training with its data, log, grids and checkpoints; images from a cold start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::rounds::{median, object};
use super::venv::reason;

/// By how much a quick run is shorter than the default one, grids and checkpoints alike.
const SHORTER: u32 = 20;

/// The default run: steps, steps of the chain of a grid, steps between grids, between checkpoints.
const DEFAULT_RUN: [(&str, u32); 4] = [
    ("train.steps", 3000),
    ("sample.steps", 60),
    ("train.sample_every", 1500),
    ("train.checkpoint_every", 500),
];

/// A whole run beside bare steps of the same network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Whole {
    /// How long the run was, in words.
    pub(super) what: String,
    /// All images over all time between the first step and the last file.
    pub(super) images_per_s: f64,
    /// Of bare steps, before the run and after it.
    pub(super) bare: Vec<f64>,
}

impl Whole {
    /// The run's rate over that of the bare steps, and with each of these.
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
    let mut args = vec!["train", "--json", "--run", run.to_str().context("the path is no text")?];
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

/// `KEY=VALUE` of a run as long as it is wanted.
fn run_settings(quick: bool) -> Vec<String> {
    let by = if quick { SHORTER } else { 1 };
    DEFAULT_RUN.iter().map(|(key, steps)| format!("{key}={}", steps / by)).collect()
}

/// Seconds from the start of the process until 64 images of the run are in a file, of each of some tries.
pub(super) fn images(ddpm: &Path, run: &Path, tries: usize) -> anyhow::Result<Vec<f64>> {
    let out = run.with_file_name("images");
    let (run, out) =
        (run.to_str().context("the path is no text")?, out.to_str().context("the path is no text")?);
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

/// Where runs of this command go, and the images made from them.
pub(super) fn scratch(root: &Path) -> PathBuf {
    root.join("out/bench-run/run")
}

/// Runs our program and reads what it says.
fn ours(ddpm: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(ddpm);
    object(&output(command.args(args))?)
}

/// Standard output of a program that succeeds; else its last words in one line.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    // The user's choice of a log must not come between the lines.
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

    /// The quick run has as many grids and checkpoints for each of its steps as the preset says.
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
