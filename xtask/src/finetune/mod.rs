//! `cargo xtask finetune-demo`: what a trained model is worth as a start. The shipped model is fine-tuned on a few images of
//! one digit of MNIST, and the same network is trained on them from scratch for as many steps.

mod digits;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::child::{Ddpm, Program};
use crate::json_file::write_json;
use crate::machine::Origin;
use crate::run_log::Log;
use crate::workspace::Workspace;
use page::{Demo, Loss, Side};

/// The two runs: name, learning rate, and how each begins. A trained network wants smaller steps than a fresh one.
const RUNS: [(&str, &str, &str); 2] =
    [("fine-tuned", "3e-4", "--init-from=shipped"), ("from-scratch", "1.5e-3", "--objective=flow")];
/// Held-out images of the digit; MNIST has 892 or more of each.
const HELD_OUT: usize = 256;
/// Evaluations of the held-out loss in a run.
const MOMENTS: u64 = 8;
/// Samples of each run in the picture.
const SHOWN: &str = "36";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder with the four files of MNIST, as downloaded.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The digit.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=9))]
    digit: u8,
    /// Training images.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=5000))]
    images: u16,
    /// Steps of 32 images of each run.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(40..=1_000_000))]
    steps: u64,
    /// Seed of both runs and of the samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder for the images and the runs of each digit; existing runs resume.
    #[arg(long, value_name = "DIR", default_value = "runs/finetune-demo")]
    runs: PathBuf,
    /// Folder for the JSON, the table and the picture.
    #[arg(long, value_name = "DIR", default_value = "docs/finetuning")]
    out: PathBuf,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let root = args.runs.join(format!("digit-{}", args.digit));
    let data = images(args, &root)?;
    let ddpm = Ddpm::new(args.program.path(workspace)?, args.program.device.clone())?;
    let log = root.join("log");
    let mut sides = Vec::new();
    for (name, lr, begin) in RUNS {
        let run = root.join(name);
        println!("{name}: {} steps in {}, log in {}", args.steps, run.display(), log.display());
        ddpm.answer_with_log(&train(args, &data, &run, (lr, begin)), &log)?;
        let losses = losses(&run)?;
        sides.push(Side {
            name: name.to_owned(),
            learning_rate: lr.to_owned(),
            seconds: Log::read(&run)?.seconds(),
            losses,
        });
    }
    check_networks(&root)?;
    let picture = picture(&ddpm, &root, args.seed, &log)?;
    let demo = Demo {
        digit: args.digit,
        images: u64::from(args.images),
        held_out: HELD_OUT as u64,
        steps: args.steps,
        seed: args.seed,
        runs: sides,
        origin: Origin::now(workspace, args.program.device.as_deref()),
    };
    let at = |ending: &str| args.out.join(format!("mnist-{}.{ending}", args.digit));
    let page = page::page(&demo)?;
    write_json(&at("json"), &demo)?;
    for (path, bytes) in [(at("png"), picture), (at("md"), page.into_bytes())] {
        files::write_atomic(&path, &bytes).with_context(|| path.display().to_string())?;
    }
    println!("written: {}, .png and .json", at("md").display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the images of the digit as a folder with a training and a test part, without labels.
fn images(args: &Args, root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("images");
    let train = digits::read(&args.data, "train", args.digit, usize::from(args.images))?;
    let held_out = digits::read(&args.data, "t10k", args.digit, HELD_OUT)?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (part, images) in [("train", train), ("t10k", held_out)] {
        let path = folder.join(format!("{part}-images-idx3-ubyte"));
        files::write_atomic(&path, &digits::idx(&images)).with_context(|| path.display().to_string())?;
    }
    Ok(folder)
}

/// The call of a training. Both have equal settings except for their start and the learning rate.
fn train(args: &Args, data: &Path, run: &Path, (lr, begin): (&str, &str)) -> Vec<String> {
    let steps = args.steps;
    let mut words =
        vec!["train".to_owned(), "--preset".to_owned(), "fashion-28".to_owned(), begin.to_owned()];
    words.extend(["--data".to_owned(), data.display().to_string()]);
    words.extend(["--run".to_owned(), run.display().to_string(), "--json".to_owned()]);
    for value in [
        format!("seed={}", args.seed),
        format!("train.steps={steps}"),
        format!("train.evaluate_every={}", steps / MOMENTS),
        format!("train.checkpoint_every={steps}"),
        format!("train.lr={lr}"),
        "train.evaluate_count=20".to_owned(),
        "train.sample_every=0".to_owned(),
        "train.batch=32".to_owned(),
        "train.warmup_steps=20".to_owned(),
        "train.ema_decay=0.99".to_owned(),
        "train.log_every=10".to_owned(),
        // A mirrored digit is no digit.
        "train.flip=false".to_owned(),
    ] {
        words.extend(["--set".to_owned(), value]);
    }
    words
}

/// The held-out losses that a run logged.
fn losses(run: &Path) -> anyhow::Result<Vec<Loss>> {
    let path = run.join("evaluations.jsonl");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut losses = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        let (Some(step), Some(loss)) = (line["step"].as_u64(), line["held_out_loss"].as_f64()) else {
            continue;
        };
        losses.push(Loss { step, loss });
    }
    ensure!(!losses.is_empty(), "{}: expected held-out losses, found none", path.display());
    Ok(losses)
}

/// Fails if the runs have different networks or schedules: they would compare more than the start.
fn check_networks(runs: &Path) -> anyhow::Result<()> {
    let groups = RUNS.map(|(name, ..)| -> anyhow::Result<_> {
        let path = runs.join(name).join("config.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let config: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        Ok(["model", "schedule"].map(|group| config.get(group).cloned()))
    });
    let [tuned, scratch] = groups;
    ensure!(
        tuned? == scratch?,
        "{}: expected two runs of one network, found different groups [model] or [schedule]; the shipped model is no longer \
         that of --preset fashion-28 --objective flow, so change the second run",
        runs.display()
    );
    Ok(())
}

/// Samples of both runs from the same noise.
fn picture(ddpm: &Ddpm, root: &Path, seed: u64, log: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = root.join("compare");
    let mut words = vec!["compare".to_owned()];
    words.extend(RUNS.map(|(name, ..)| root.join(name).display().to_string()));
    let (seed, out) = (seed.to_string(), folder.display().to_string());
    for word in ["--count", SHOWN, "--seed", &seed, "--out", &out, "--json"] {
        words.push(word.to_owned());
    }
    ddpm.answer_with_log(&words, log)?;
    let path = folder.join("02-samples.png");
    fs::read(&path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_of_one_network_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("config.toml"), text).unwrap();
        };
        let config = "[model]\nbase_channels = 32\n[schedule]\nkind = \"straight\"\n[train]\nlr = ";
        write("fine-tuned", &format!("{config}1.0\n"));
        write("from-scratch", &format!("{config}2.0\n"));
        check_networks(folder.path()).unwrap();
        write("from-scratch", &config.replace("32", "64").replace("[train]\nlr = ", ""));
        let error = check_networks(folder.path()).unwrap_err().to_string();
        assert!(error.contains("two runs of one network"), "{error}");
    }

    #[test]
    fn losses_are_those_of_the_log() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("evaluations.jsonl");
        fs::write(&path, "{\"step\": 5, \"held_out_loss\": 0.5}\n{\"step\": 10, \"held_out_loss\": 0.25}\n")
            .unwrap();
        let expected = [Loss { step: 5, loss: 0.5 }, Loss { step: 10, loss: 0.25 }];
        assert_eq!(losses(run.path()).unwrap(), expected);
        fs::write(&path, "{\"step\": 5, \"held_out_loss\": null}\n").unwrap();
        assert!(losses(run.path()).unwrap_err().to_string().contains("found none"));
    }
}
