//! Crashes, a full disk and SIGINT while a model is written for others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ::tests::{Output, Place, Running};
use anyhow::{Context as _, ensure};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{PATIENCE, ensure_one_line, last_line};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "exports",
    goal: "an exported model is complete or absent",
    meaning: "`ddpm export`, in each format, and `ddpm ema` abort, or see a full disk, at a random pass of a \
              random point of writing, or get SIGINT at a random moment. Then the model must be absent, or \
              have all files in full length. After a full disk the exit code is 6, with one line; after it \
              and after SIGINT (exit code 130, or 0 once files are being written) nothing half-written is \
              left, not even under a hidden name.",
    run,
};

const TRAIN: &str = "train --preset tiny-16 --run run --set data.limit=30 --set train.steps=4 --set train.batch=2 \
                     --set train.checkpoint_every=2 --set train.ema_sigma_rels=[0.1] --set sample.count=1 \
                     --set sample.steps=1 --set precision=f32 \
                     --set model.embedding={kind='normalized',frequencies=6}";

/// The calls; all write into `out`. `RUN` is the run.
const CALLS: [&str; 4] = [
    "export --run RUN --format diffusers --folder out/model",
    "export --run RUN --out out/model.safetensors",
    "export --run RUN --format onnx --out out/model.onnx",
    "ema --run RUN --sigma-rel 0.1 --out out/model",
];

/// `SIGABRT`.
const ABORTED: i32 = 6;

/// How a call is disturbed.
#[derive(Debug, Clone, Copy)]
enum Way {
    Abort,
    Full,
    Interrupt,
}

const WAYS: [Way; 3] = [Way::Abort, Way::Full, Way::Interrupt];

/// An undisturbed call.
struct Reference {
    line: String,
    /// The lengths of its files.
    files: BTreeMap<String, u64>,
    /// How often it passes each point.
    passages: BTreeMap<String, u64>,
    seconds: f64,
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let trained = context.place()?;
    let output = trained.ddpm(TRAIN)?;
    ensure!(output.code == Some(0), "ddpm {TRAIN}: {}", last_line(&output));
    let folder = trained.at("run").display().to_string();
    let references = CALLS
        .iter()
        .map(|line| reference(context, &line.replace("RUN", &folder)).context(*line))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let kinds = (CALLS.len() * WAYS.len()) as u64;
    let tried = trials::run(context.jobs, context.count(kinds, 20 * kinds), |trial| {
        let reference = &references[trial as usize % CALLS.len()];
        let way = WAYS[trial as usize / CALLS.len() % WAYS.len()];
        disturbed(context, reference, way, trial)
            .with_context(|| format!("{}: {way:?}", CALLS[trial as usize % CALLS.len()]))
    });
    let complete = tried.held.iter().filter(|complete| **complete).count();
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{complete} complete, {} absent", tried.held.len() - complete),
        complaints: tried.complaints,
    })
}

fn reference(context: &Context, line: &str) -> anyhow::Result<Reference> {
    let place = context.place()?;
    let begun = Instant::now();
    let output = faulty(context, &place, line, "list")?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), last_line(&output));
    let mut passages = BTreeMap::new();
    for line in String::from_utf8(place.read("faults.log")?)?.lines() {
        *passages.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    ensure!(!passages.is_empty(), "the program with faults passed no point: was it built with them?");
    let files = files(&place.at("out"))?;
    ensure!(!files.is_empty() && files.keys().all(|name| !is_hidden(name)), "{files:?}");
    Ok(Reference { line: line.to_owned(), files, passages, seconds })
}

/// One disturbed call; returns whether the model is complete.
fn disturbed(context: &Context, reference: &Reference, way: Way, trial: u64) -> anyhow::Result<bool> {
    let place = context.place()?;
    let draws = context.draws("exports", trial);
    let points: Vec<&str> = reference.passages.keys().map(String::as_str).collect();
    let point = draws.pick("point", &points);
    let passage = 1 + draws.below("passage", reference.passages[point]);
    match way {
        Way::Abort => {
            let output = faulty(context, &place, &reference.line, &format!("{point}:{passage}"))?;
            let code = output.shell_code();
            ensure!(
                output.signal == Some(ABORTED),
                "expected an abort, found {code:?}: {}",
                last_line(&output)
            );
        }
        Way::Full => {
            let output = faulty(context, &place, &reference.line, &format!("{point}:{passage}:full"))?;
            ensure_one_line(&output, 6, &["out"])?;
        }
        Way::Interrupt => {
            let mut running = place.start(&reference.line)?;
            let moment = 1.05 * reference.seconds * draws.unit("moment");
            if !running.let_run(Duration::from_secs_f64(moment))? {
                running.signal("INT")?;
            }
            let output = running.wait_within(PATIENCE)?;
            let code = output.shell_code();
            ensure!([Some(0), Some(130)].contains(&code), "exit code {code:?}: {}", last_line(&output));
        }
    }
    let found = files(&place.at("out"))?;
    let (hidden, seen): (BTreeMap<_, _>, BTreeMap<_, _>) =
        found.into_iter().partition(|(name, _)| is_hidden(name));
    ensure!(
        seen.is_empty() || seen == reference.files,
        "{point}:{passage}: expected {:?} or nothing, found {seen:?}",
        reference.files
    );
    // Nobody is left to clean up after an abort.
    ensure!(matches!(way, Way::Abort) || hidden.is_empty(), "{point}:{passage}: left behind: {hidden:?}");
    Ok(!seen.is_empty())
}

/// Whether a file, or a folder it is in, has a hidden name.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.'))
}

/// The lengths of all files below a folder. Empty files are left out: a signal may have come while the program tried
/// whether it can write there.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        // None before the first file.
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let entry = entry?;
            let (path, meta) = (entry.path(), entry.metadata()?);
            if meta.is_dir() {
                folders.push(path);
            } else if meta.len() > 0 {
                found.insert(path.strip_prefix(folder)?.display().to_string(), meta.len());
            }
        }
    }
    Ok(found)
}

/// Runs the program with a fault, to its end.
fn faulty(context: &Context, place: &Place, line: &str, fault: &str) -> anyhow::Result<Output> {
    let line = format!("{line} --device cpu --threads 1");
    let mut command = place.command_of(context.faulty()?, &line);
    command.env("DDPM_FAULT", fault).env("DDPM_FAULT_LOG", place.at("faults.log"));
    Running::start(&line, &mut command)?.wait_within(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_empty_files_are_told_apart() {
        let place = Place::new().unwrap();
        for (name, text) in [("out/model/a", "12"), ("out/.model.1-0.tmp/b", "1"), ("out/.c", ""), ("d", "1")]
        {
            place.write(name, text).unwrap();
        }
        let found = files(&place.at("out")).unwrap();
        let expected = [(".model.1-0.tmp/b", 1), ("model/a", 2)];
        let expected: BTreeMap<String, u64> =
            expected.into_iter().map(|(name, length)| (name.to_owned(), length)).collect();
        assert_eq!(found, expected);
        assert!(is_hidden(".model.1-0.tmp/b") && is_hidden("model/.b") && !is_hidden("model/a.b"));
        assert!(files(&place.at("none")).unwrap().is_empty());
    }
}
