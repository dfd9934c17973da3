//! `cargo xtask objectives`: trains every objective under equal settings for `docs/objectives.md` and collects samples,
//! loss by noise level, and the cost of a step.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{ddpm, process};

/// A name, the objective, and further settings.
const TRAININGS: &[(&str, &str, &[&str])] = &[
    ("ddpm", "ddpm", &[]),
    ("min-snr", "min-snr", &[]),
    ("v", "v", &[]),
    ("learned", "learned", &[]),
    ("vlb", "learned", &["train.loss=vlb", "train.time_sampling=by-loss"]),
    ("edm", "edm", &[]),
    ("flow", "flow", &[]),
    ("flow-optimal", "flow", &["train.pairing=optimal"]),
];
/// The same solver for all, on levels evenly spaced in the logarithm of the signal-to-noise ratio.
const SAMPLING: &[&str] =
    &["--sampler", "dpmpp-2m", "--steps", "25", "--spacing", "log-snr", "--seed", "1", "--count", "16"];
/// Tenths of the path, as a run logs them.
const TENTHS: usize = 10;
/// The last part of a run (a fifth), over which losses are averaged.
const LAST: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps of each training.
    #[arg(long, value_name = "N", default_value_t = 1500)]
    steps: u64,
    /// Folder for the pictures.
    #[arg(long, value_name = "DIR", default_value = "docs/objectives")]
    out: PathBuf,
    /// Folder for the runs and table.md; existing runs resume.
    #[arg(long, value_name = "DIR", default_value = "runs/objectives")]
    runs: PathBuf,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let program = ddpm::build(workspace)?;
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let mut rows = Vec::new();
    for (name, objective, set) in TRAININGS {
        let run = args.runs.join(name);
        train(&program, (objective, set), &run, args.steps)?;
        sample(&program, &run, &args.out, name)?;
        rows.push(Row::of(name, &run)?);
    }
    let table = table(&rows);
    let path = args.runs.join("table.md");
    fs::write(&path, &table).with_context(|| path.display().to_string())?;
    println!("{table}\nwritten to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn train(program: &Path, (objective, set): (&str, &[&str]), run: &Path, steps: u64) -> anyhow::Result<()> {
    println!("{}", run.display());
    let mut command = Command::new(program);
    command.args(["train", "--preset", "fashion-28", "--objective", objective, "--run"]).arg(run);
    let steps = format!("train.steps={steps}");
    for value in set.iter().copied().chain([steps.as_str(), "train.sample_every=0"]) {
        command.args(["--set", value]);
    }
    process::run_to_success(&mut command)
}

fn sample(program: &Path, run: &Path, out: &Path, name: &str) -> anyhow::Result<()> {
    let folder = tempfile_beside(run);
    let mut command = Command::new(program);
    command.arg("sample").arg("--run").arg(run).args(SAMPLING).arg("--out").arg(&folder);
    process::run_to_success(&mut command)?;
    let (from, to) = (folder.join("grid.png"), out.join(format!("{name}.png")));
    fs::copy(&from, &to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A subfolder of the run, for files copied from it.
fn tempfile_beside(run: &Path) -> PathBuf {
    run.join("samples").join("docs")
}

/// The logged values of a run.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    images_per_s: f64,
    /// Mean squared error of eps by tenth of the path, least noise first.
    losses: Vec<Option<f64>>,
}

impl Row {
    fn of(name: &str, run: &Path) -> anyhow::Result<Self> {
        let path = run.join("metrics.jsonl");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines: Vec<Value> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| path.display().to_string())?;
        if lines.is_empty() {
            bail!("{}: nothing was logged", path.display());
        }
        let mut speeds: Vec<f64> = lines.iter().filter_map(|line| line["images_per_s"].as_f64()).collect();
        speeds.sort_by(f64::total_cmp);
        let last = &lines[lines.len() - lines.len().div_ceil(LAST)..];
        let losses = (0..TENTHS).map(|tenth| {
            let seen: Vec<f64> = last.iter().filter_map(|line| line["loss_by_t"][tenth].as_f64()).collect();
            (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / seen.len() as f64)
        });
        Ok(Self {
            name: name.to_owned(),
            images_per_s: speeds.get(speeds.len() / 2).copied().unwrap_or(f64::NAN),
            losses: losses.collect(),
        })
    }
}

/// The rows as Markdown.
fn table(rows: &[Row]) -> String {
    let mut text = String::from("| |");
    for tenth in 1..=TENTHS {
        let _ = write!(text, " {tenth} |");
    }
    text += " images/s |\n|---|";
    text += &"---:|".repeat(TENTHS + 1);
    for row in rows {
        let _ = write!(text, "\n| `{}` |", row.name);
        for loss in &row.losses {
            let shown = loss.map_or_else(|| "-".to_owned(), short);
            let _ = write!(text, " {shown} |");
        }
        let _ = write!(text, " {:.0} |", row.images_per_s);
    }
    text + "\n"
}

/// Three significant digits, however small the number is.
fn short(x: f64) -> String {
    if x >= 1.0 {
        return format!("{x:.2}");
    }
    let places = (2.0 - x.abs().max(1e-9).log10().floor()) as usize;
    format!("{x:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_figures() {
        for (x, want) in [(12.345, "12.35"), (0.5, "0.500"), (0.012_34, "0.0123"), (0.000_045_6, "0.0000456")]
        {
            assert_eq!(short(x), want);
        }
    }

    #[test]
    fn a_row_is_what_the_run_logged_last() {
        let run = tempfile::tempdir().unwrap();
        let line = |speed: f64, loss: f64| {
            let losses: Vec<Value> =
                (0..TENTHS).map(|k| if k == 9 { Value::Null } else { loss.into() }).collect();
            serde_json::json!({ "images_per_s": speed, "loss_by_t": losses }).to_string()
        };
        let lines: Vec<String> =
            (0..10).map(|k| line(f64::from(k), if k < 8 { 9.0 } else { 0.25 })).collect();
        fs::write(run.path().join("metrics.jsonl"), lines.join("\n")).unwrap();
        let row = Row::of("a", run.path()).unwrap();
        assert_eq!((row.images_per_s, row.losses[0], row.losses[9]), (5.0, Some(0.25), None));
        let text = table(&[row]);
        assert!(text.contains("| `a` | 0.250 |") && text.ends_with("| - | 5 |\n"), "{text}");
        fs::write(run.path().join("metrics.jsonl"), "").unwrap();
        assert!(Row::of("a", run.path()).is_err());
    }
}
