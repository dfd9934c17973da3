//! Compares interrupted runs with undisturbed ones.

use std::time::Duration;

use anyhow::ensure;
use tests::{Place, Running};

use crate::context::Context;
use crate::draws::Draws;
use crate::outcome::{Check, Outcome};
use crate::training::{End, PATIENCE, Recipe, Reference, ensure_tidy, last_line, last_logged, newest_saved};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "resume",
    goal: "a resumed run equals an undisturbed one",
    meaning: "Runs with dropout and an EMA, half of them with classes and label dropout, are interrupted one \
              to three times by SIGINT, SIGTERM or SIGKILL at random moments, within an epoch or at its end, \
              and resumed with another number of reader threads. Every file of the last checkpoint and every \
              grid must have the SHA-256 of the undisturbed run's, and every line of `metrics.jsonl` its \
              values.",
    run,
};

/// An epoch: 30 images in batches of 3.
const EPOCH: u64 = 10;

/// A run that finished before its first interruption is restarted.
const ATTEMPTS: u64 = 5;

/// Checkpoints fall in the middle of a logging interval, and neither interval divides an epoch.
const PLAIN: Recipe = Recipe {
    steps: 50,
    set: "train.batch=3 train.log_every=2 train.checkpoint_every=7 train.sample_every=14 model.dropout=0.1 train.ema_decay=0.9",
};
const CLASSES: Recipe = Recipe {
    steps: 50,
    set: "train.batch=3 train.log_every=2 train.checkpoint_every=7 train.sample_every=14 model.dropout=0.1 train.ema_decay=0.9 \
          model.classes=10 train.label_dropout=0.2",
};

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let recipes = [(PLAIN, PLAIN.reference(context)?), (CLASSES, CLASSES.reference(context)?)];
    let count = context.count(6, 200);
    let tried = trials::run(context.jobs, count, |trial| {
        let (recipe, reference) = &recipes[(trial % 2) as usize];
        interrupted(context, recipe, reference, trial)
    });
    let interruptions: u64 = tried.held.iter().sum();
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{} identical after {interruptions} interruptions", tried.held.len()),
        complaints: tried.complaints,
    })
}

/// One run with its interruptions; returns their number.
fn interrupted(context: &Context, recipe: &Recipe, reference: &Reference, trial: u64) -> anyhow::Result<u64> {
    let draws = context.draws("resume", trial);
    let wanted = 1 + draws.below("interruptions", 3);
    for attempt in 0..ATTEMPTS {
        let place = context.place()?;
        let mut done = 0;
        // An interruption after the end of the run does not count.
        while done < wanted && interrupt(&place, recipe, reference, &draws, attempt * wanted + done)? {
            done += 1;
        }
        recipe.finish(&place)?;
        End::of(&place)?.ensure_same(&reference.end)?;
        ensure_tidy(&place)?;
        if done > 0 {
            return Ok(done);
        }
    }
    anyhow::bail!("no interruption of {ATTEMPTS} runs came in time")
}

/// Starts the run and interrupts it; returns whether the interruption came in time.
fn interrupt(
    place: &Place,
    recipe: &Recipe,
    reference: &Reference,
    draws: &Draws,
    number: u64,
) -> anyhow::Result<bool> {
    let what = |name: &str| format!("{name} {number}");
    let threads = draws.pick(&what("threads"), &["1", "2", "4"]);
    let line = format!("{} --device cpu --threads 1", recipe.line());
    let mut running = Running::start(&line, place.command(&line)?.env("RAYON_NUM_THREADS", threads))?;
    let from = newest_saved(place);
    // Early enough to leave steps for the other interruptions and for the end.
    let left = (recipe.steps - from).max(4);
    let to = from + draws.below(&what("step"), left / 2);
    match draws.below(&what("moment"), 3) {
        0 => {
            running.let_run(Duration::from_secs_f64(reference.seconds(to - from)))?;
        }
        1 => at_step(&mut running, place, to)?,
        _ => at_step(&mut running, place, (to / EPOCH + 1) * EPOCH)?,
    }
    if running.is_over()? {
        return Ok(false);
    }
    let signal = draws.pick(&what("signal"), &["INT", "TERM", "KILL"]);
    running.signal(signal)?;
    let output = running.wait_within(PATIENCE)?;
    let expected = match signal {
        "INT" => 130,
        "TERM" => 143,
        _ => 137,
    };
    ensure!(
        output.code == Some(0) || output.shell_code() == Some(expected),
        "after {signal}: exit code {:?}: {}",
        output.shell_code(),
        last_line(&output)
    );
    Ok(output.code != Some(0))
}

/// Waits until a step is logged, or the run is over.
fn at_step(running: &mut Running, place: &Place, step: u64) -> anyhow::Result<()> {
    for _ in 0..PATIENCE.as_millis() {
        if last_logged(place)? >= step || running.let_run(Duration::from_millis(1))? {
            return Ok(());
        }
    }
    anyhow::bail!("step {step} was never reached")
}
