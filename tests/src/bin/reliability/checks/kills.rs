//! SIGKILL at random moments.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::{Output, Place};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{
    End, PATIENCE, Recipe, Reference, ensure_tidy, last_line, last_logged, newest_saved, newest_sound,
};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "kills",
    goal: "kill -9 loses nothing",
    meaning: "Training is killed by SIGKILL at uniformly random moments, and the same command is repeated \
              until the run is done. After each kill the newest checkpoint must verify, with at most one \
              checkpoint interval lost, and the next start must resume from it without help. Each finished \
              run must be bit-identical to the undisturbed one, with nothing half-written left.",
    run,
};

/// Maximum number of kills per run: with more, most would hit the start of the last few steps.
const KILLS_A_RUN: u64 = 5;

/// Steps between checkpoints.
const INTERVAL: u64 = 4;

const RECIPE: Recipe =
    Recipe { steps: 60, set: "train.batch=4 train.log_every=1 train.checkpoint_every=4 model.dropout=0.1" };

/// Trains in one run folder from start to end.
#[derive(Debug, Default)]
struct Life {
    kills: u64,
    most_lost: u64,
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let reference = RECIPE.reference(context)?;
    let count = context.count(12, 1000);
    // Kills and runs so far: new runs start until all kills are done.
    let (kills, lives) = (AtomicU64::new(0), AtomicU64::new(0));
    let tried = trials::run(context.jobs, context.jobs as u64, |_| {
        let mut done = Vec::new();
        while kills.load(Ordering::Relaxed) < count {
            let number = lives.fetch_add(1, Ordering::Relaxed);
            let wanted = || kills.load(Ordering::Relaxed) < count;
            let killed = || {
                let now = kills.fetch_add(1, Ordering::Relaxed) + 1;
                if now * 10 / count != (now - 1) * 10 / count {
                    println!("    kill {now} of {count}");
                }
            };
            let mut life = Life::default();
            let result = live(context, &reference, number, wanted, killed, &mut life);
            done.push((life, result.err().map(|error| format!("run {number}: {error:#}"))));
        }
        Ok(done)
    });
    let lives: Vec<(Life, Option<String>)> = tried.held.into_iter().flatten().collect();
    let sum = |count: fn(&Life) -> u64| lives.iter().map(move |(life, _)| count(life));
    let tried: u64 = sum(|life| life.kills).sum();
    let most_lost = sum(|life| life.most_lost).max().unwrap_or(0);
    let complaints: Vec<String> = lives.iter().filter_map(|(_, complaint)| complaint.clone()).collect();
    let failed = complaints.len();
    Ok(Outcome {
        tried,
        // A failed run counts as one failed kill.
        survived: tried.saturating_sub(failed as u64),
        figure: format!(
            "{} runs finished like the undisturbed one, {failed} did not; at most {most_lost} steps lost, a checkpoint every {INTERVAL}",
            lives.len() - failed,
        ),
        complaints,
    })
}

/// Starts and kills until the run is done. `wanted` says whether to kill once more; `killed` counts the kills that hit
/// a running process.
fn live(
    context: &Context,
    reference: &Reference,
    number: u64,
    wanted: impl Fn() -> bool,
    killed: impl Fn(),
    life: &mut Life,
) -> anyhow::Result<()> {
    let place = context.place()?;
    loop {
        let from = newest_saved(&place);
        let mut running = place.start(&RECIPE.line())?;
        if life.kills < KILLS_A_RUN && wanted() {
            // A little longer than a run takes, so that some finish.
            let length = 1.05 * reference.seconds(RECIPE.steps - from);
            let moment = length * context.draws("kills", number).unit(&life.kills.to_string());
            if !running.let_run(Duration::from_secs_f64(moment))? {
                running.signal("KILL")?;
            }
        }
        let output = running.wait_within(PATIENCE)?;
        went_on(&output, from)?;
        if output.signal.is_none() {
            break;
        }
        life.kills += 1;
        killed();
        life.most_lost = life.most_lost.max(lost(&place).with_context(|| format!("kill {}", life.kills))?);
    }
    End::of(&place)?.ensure_same(&reference.end)?;
    ensure_tidy(&place)
}

/// The program must have been killed or have finished. If it reported the step it resumed from, that must have been the
/// newest checkpoint.
fn went_on(output: &Output, from: u64) -> anyhow::Result<()> {
    let by_itself = output.signal == Some(9) || output.code == Some(0);
    ensure!(
        by_itself,
        "it did not resume without help: exit code {:?}: {}",
        output.shell_code(),
        last_line(output)
    );
    let said = output.stderr.lines().find_map(|line| line.split_once(", steps ")?.1.split_once(" to "));
    if let Some((first, _)) = said {
        ensure!(
            first == from.to_string(),
            "the newest checkpoint was of step {from}, but the run resumed from {first}"
        );
    }
    ensure!(!output.stderr.contains("damaged"), "{}", output.stderr);
    Ok(())
}

/// Steps done but not saved.
fn lost(place: &Place) -> anyhow::Result<u64> {
    let (saved, logged) = (newest_sound(place)?, last_logged(place)?);
    ensure!(
        (saved..=saved + INTERVAL).contains(&logged),
        "logged up to step {logged}, but the newest checkpoint is of step {saved}"
    );
    Ok(logged - saved)
}
