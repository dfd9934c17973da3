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

/// A name, the objective, and further settings. Time embeddings have 64 numbers, as those of the chains have.
const TRAININGS: &[(&str, &str, &[&str])] = &[
    ("ddpm", "ddpm", &[]),
    ("v-chain", "v-chain", &[]),
    ("min-snr", "min-snr", &[]),
    ("v", "v", &["model.embedding.dim=64"]),
    ("learned", "learned", &[]),
    ("vlb", "learned", &["train.loss=vlb", "train.time_sampling=by-loss"]),
    ("edm", "edm", &["model.embedding.dim=64"]),
    ("flow", "flow", &["model.embedding.dim=64"]),
    ("flow-optimal", "flow", &["model.embedding.dim=64", "train.pairing=optimal"]),
];
/// What the preset was when the page was written; it changed since.
const PRESET_THEN: [&str; 2] = ["train.optimizer=adam", "train.flip=true"];
/// The same solver for all, on levels evenly spaced in the logarithm of the signal-to-noise ratio.
const SAMPLING: &str = "--sampler dpmpp-2m --steps 25 --spacing log-snr";
/// Further pictures: a name, the training, and how it is sampled. `GUIDE` stands for its first checkpoint.
const MORE: &[(&str, &str, &str)] = &[
    ("learned-ddpm-learned", "learned", "--sampler ddpm-learned --steps 100"),
    ("guidance-1", "flow", "--sampler heun --steps 20"),
    ("guidance-1.5", "flow", "--sampler heun --steps 20 --guide-with GUIDE --guidance 1.5"),
    ("guidance-2.5", "flow", "--sampler heun --steps 20 --guide-with GUIDE --guidance 2.5"),
];
/// The samples of every picture.
const IMAGES: [&str; 4] = ["--seed", "1", "--count", "16"];
/// Checkpoints of a run: a third of the way, two thirds, and the end.
const CHECKPOINTS: u64 = 3;
/// Tenths of the path, as a run logs them.
const TENTHS: usize = 10;
/// The last part of a run (a fifth), over which losses are averaged.
const LAST: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps of each training, 3 or more.
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u64).range(CHECKPOINTS..))]
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
        let guide = first_checkpoint(&run, args.steps);
        sample(&program, &run, (SAMPLING, &guide), &args.out.join(format!("{name}.png")))?;
        rows.push(Row::of(name, &run)?);
    }
    for (name, training, flags) in MORE {
        let run = args.runs.join(training);
        let guide = first_checkpoint(&run, args.steps);
        sample(&program, &run, (flags, &guide), &args.out.join(format!("{name}.png")))?;
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
    for value in settings(set, steps) {
        command.args(["--set", &value]);
    }
    process::run_to_success(&mut command)
}

/// All settings of a training.
fn settings(set: &[&str], steps: u64) -> Vec<String> {
    let every = steps / CHECKPOINTS;
    let shared = [
        format!("train.steps={steps}"),
        format!("train.checkpoint_every={every}"),
        // Steps that are no multiple of three have one more, at the end.
        format!("train.keep_checkpoints={}", CHECKPOINTS + 1),
        "train.sample_every=0".to_owned(),
    ];
    PRESET_THEN.into_iter().chain(set.iter().copied()).map(str::to_owned).chain(shared).collect()
}

fn first_checkpoint(run: &Path, steps: u64) -> PathBuf {
    run.join("checkpoints").join(format!("step-{:08}", steps / CHECKPOINTS))
}

/// Draws samples of a run, and copies their grid.
fn sample(program: &Path, run: &Path, (flags, guide): (&str, &Path), to: &Path) -> anyhow::Result<()> {
    let folder = tempfile_beside(run);
    let mut command = Command::new(program);
    command.arg("sample").arg("--run").arg(run).args(IMAGES).arg("--out").arg(&folder);
    command.args(flags.split(' ').map(|word| if word == "GUIDE" { guide } else { Path::new(word) }));
    process::run_to_success(&mut command)?;
    let from = folder.join("grid.png");
    fs::copy(&from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
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

    /// The settings of the page, and pictures of trainings that there are.
    #[test]
    fn trainings_are_those_of_the_page() {
        let page = include_str!("../../docs/objectives.md");
        let names: Vec<&str> = TRAININGS.iter().map(|training| training.0).collect();
        for (name, training, flags) in MORE {
            assert!(names.contains(training) && page.contains(&format!("(objectives/{name}.png)")), "{name}");
            assert_eq!(flags.contains("GUIDE"), flags.contains("--guide-with"), "{name}");
        }
        let settings = settings(TRAININGS[3].2, 1500);
        for value in [
            "train.optimizer=adam",
            "train.flip=true",
            "model.embedding.dim=64",
            "train.steps=1500",
            "train.checkpoint_every=500",
        ] {
            assert!(settings.iter().any(|set| set == value), "{value}: {settings:?}");
        }
        assert_eq!(first_checkpoint(Path::new("r"), 1500), Path::new("r/checkpoints/step-00000500"));
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
