//! Aborts and a full disk at every point of writing, using the program with the feature `faults`.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use tests::{Output, Place, Running};

use crate::checks::order::ensure_order;
use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{
    End, PATIENCE, Recipe, Reference, ensure_one_line, ensure_tidy, last_line, newest_sound,
};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "faults",
    goal: "a crash at any point of writing costs no checkpoint",
    meaning: "The program aborts, or sees a full disk, at a random pass of every named point of writing: \
              file created, half written, before and after it is synced and renamed, the same for folders, \
              while old checkpoints are removed, half a line into the log. Its log must show that a \
              checkpoint is written, synced and renamed and its folder synced before an older one is \
              removed. The newest checkpoint must verify. After a full disk the exit code is 6, with one \
              line and nothing half-written left. The program without faults resumes and ends like the \
              undisturbed run.",
    run,
};

const RECIPE: Recipe = Recipe {
    steps: 12,
    set: "train.batch=2 train.log_every=1 train.checkpoint_every=2 train.keep_checkpoints=2 model.dropout=0.1",
};

/// `SIGABRT`.
const ABORTED: i32 = 6;

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let reference = RECIPE.reference(context)?;
    let passages = passages(context)?;
    let points: Vec<&String> = passages.keys().collect();
    let ways = ["abort", "full"];
    let repeats = context.count(1, 20);
    let count = points.len() as u64 * ways.len() as u64 * repeats;
    let tried = trials::run(context.jobs, count, |trial| {
        let point = points[trial as usize % points.len()];
        let way = ways[trial as usize / points.len() % ways.len()];
        let passage = 1 + context.draws("faults", trial).below("passage", passages[point]);
        let fault = format!("{point}:{passage}:{way}");
        survived(context, &reference, &fault, way).map_err(|error| error.context(fault))
    });
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{} points, {repeats} times each with an abort and with a full disk", points.len()),
        complaints: tried.complaints,
    })
}

/// The points, and how often a full run passes each.
fn passages(context: &Context) -> anyhow::Result<BTreeMap<String, u64>> {
    let place = context.place()?;
    let output = faulty(context, &place, "list")?;
    ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), last_line(&output));
    let log = String::from_utf8(place.read("faults.log")?)?;
    ensure_order(&log)?;
    let mut passages = BTreeMap::new();
    for point in log.lines().filter_map(|line| line.split_whitespace().next()) {
        *passages.entry(point.to_owned()).or_insert(0) += 1;
    }
    ensure!(!passages.is_empty(), "the program with faults passed no point: was it built with them?");
    Ok(passages)
}

fn survived(context: &Context, reference: &Reference, fault: &str, way: &str) -> anyhow::Result<()> {
    let place = context.place()?;
    let output = faulty(context, &place, fault)?;
    if way == "abort" {
        let code = output.shell_code();
        ensure!(output.signal == Some(ABORTED), "expected an abort, found {code:?}: {}", last_line(&output));
    } else {
        // The message names the file.
        ensure_one_line(&output, 6, &["run/"])?;
        ensure_tidy(&place)?;
    }
    newest_sound(&place)?;
    RECIPE.finish(&place)?;
    End::of(&place)?.ensure_same(&reference.end)?;
    ensure_tidy(&place).context("after the run had finished")
}

/// Runs the program with a fault, to its end.
fn faulty(context: &Context, place: &Place, fault: &str) -> anyhow::Result<Output> {
    let line = format!("{} --device cpu --threads 1", RECIPE.line());
    let mut command = place.command_of(context.faulty()?, &line);
    command.env("DDPM_FAULT", fault).env("DDPM_FAULT_LOG", place.at("faults.log"));
    Running::start(&line, &mut command)?.wait_within(PATIENCE)
}
