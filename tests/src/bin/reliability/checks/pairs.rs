//! Two processes on one run folder.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tests::{Output, Place, Running};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{PATIENCE, Recipe, ensure_one_line, newest_sound};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "pairs",
    goal: "one process at a time in a run folder",
    meaning: "Two trainings start in one folder at the same moment: one runs, the other ends with exit code \
              6 and one line that names the process id of the first. Then the first is killed by SIGKILL and \
              two more start: again one runs, no lock is left over, and the named process id is not the dead \
              one's.",
    run,
};

/// Long enough to still be running when it is killed.
const RECIPE: Recipe = Recipe { steps: 100_000, set: "train.batch=2 train.checkpoint_every=20" };

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let tried = trials::run(context.jobs, context.count(5, 50), |_| {
        let place = context.place()?;
        pair(&place)?;
        pair(&place)
    });
    Ok(Outcome {
        tried: 2 * tried.count(),
        survived: 2 * tried.held.len() as u64,
        figure: format!("{} locks freed by the death of their holder", tried.held.len()),
        complaints: tried.complaints,
    })
}

/// Starts two, sees one refused, and kills the other.
fn pair(place: &Place) -> anyhow::Result<()> {
    let [first, second] = [place.start(&RECIPE.line())?, place.start(&RECIPE.line())?];
    let (mut holder, refused) = first_to_end(first, second)?;
    ensure_one_line(&refused, 6, &["in use", &format!("pid {}", holder.pid()?)])?;
    holder.wait_for_more(&place.at("run/metrics.jsonl"))?;
    holder.signal("KILL")?;
    let killed = holder.wait_within(PATIENCE)?;
    ensure!(killed.signal == Some(9), "the holder was not killed: {}", killed.stderr);
    newest_sound(place)?;
    Ok(())
}

/// The process that continues, and the output of the other.
fn first_to_end(mut first: Running, mut second: Running) -> anyhow::Result<(Running, Output)> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if first.let_run(Duration::from_millis(5))? {
            return Ok((second, first.wait()?));
        }
        if second.is_over()? {
            return Ok((first, second.wait()?));
        }
    }
    bail!("both run")
}
