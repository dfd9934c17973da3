//! SIGINT, SIGTERM and SIGHUP at random moments of the process.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::Running;

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{
    PATIENCE, Recipe, Reference, ensure_tidy, last_line, last_logged, newest_saved, newest_sound,
};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "signals",
    goal: "SIGINT, SIGTERM and SIGHUP end a run cleanly",
    meaning: "A run gets a signal at a random moment, while it starts, trains, saves or draws a grid that \
              takes seconds. It must end within one step and 5 s, with exit code 130, 143 or 129 (or by the \
              signal itself while the program is still being loaded), everything done saved in a checkpoint \
              that verifies, and nothing half-written left. A second SIGINT or SIGTERM ends it within 1 s.",
    run,
};

/// Training only; a checkpoint after every step; grids by Algorithm 2 in 200 steps.
const RECIPES: [Recipe; 3] = [
    Recipe { steps: 80, set: "train.batch=2 train.log_every=1 train.checkpoint_every=1000" },
    Recipe { steps: 40, set: "train.batch=2 train.log_every=1 train.checkpoint_every=1" },
    Recipe {
        steps: 4,
        set: "train.batch=2 train.log_every=1 train.checkpoint_every=2 train.sample_every=2 sample.count=8 \
              sample.sampler=ddpm sample.steps=200",
    },
];

/// Time limit in addition to one step.
const LIMIT: Duration = Duration::from_secs(5);
const SECOND_LIMIT: Duration = Duration::from_secs(1);

/// The outcome of a signal.
#[derive(Debug, Default)]
struct Met {
    /// Time from the last signal to the end.
    took: Duration,
    /// Whether it got a second signal.
    second: bool,
    /// Whether the run ended before the signal.
    too_late: bool,
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let references =
        RECIPES.iter().map(|recipe| recipe.reference(context)).collect::<anyhow::Result<Vec<_>>>()?;
    let count = context.count(12, 120);
    let tried = trials::run(context.jobs, count, |trial| {
        let kind = (trial % 3) as usize;
        signalled(context, &RECIPES[kind], &references[kind], trial)
    });
    let met: Vec<&Met> = tried.held.iter().filter(|met| !met.too_late).collect();
    let slowest = |second| {
        let took = met.iter().filter(|met| met.second == second).map(|met| met.took);
        took.max().unwrap_or_default().as_secs_f64()
    };
    let seconds = met.iter().filter(|met| met.second).count();
    let mut complaints = tried.complaints;
    if seconds == 0 {
        complaints.push("no second signal came before the program had ended".to_owned());
    }
    Ok(Outcome {
        tried: (met.len() + complaints.len()) as u64,
        survived: met.len() as u64,
        figure: format!(
            "ended after at most {:.2} s, and after {seconds} second signals {:.2} s",
            slowest(false),
            slowest(true)
        ),
        complaints,
    })
}

fn signalled(context: &Context, recipe: &Recipe, reference: &Reference, trial: u64) -> anyhow::Result<Met> {
    let place = context.place()?;
    let draws = context.draws("signals", trial);
    let (signal, number) = [("INT", 2), ("TERM", 15), ("HUP", 1)][draws.below("signal", 3) as usize];
    let mut running = place.start(&recipe.line())?;
    let moment = reference.seconds(recipe.steps) * draws.unit("moment");
    if running.let_run(Duration::from_secs_f64(moment))? {
        return Ok(Met { too_late: true, ..Met::default() });
    }
    let step = Duration::from_secs_f64(reference.step);
    let (mut sent, mut limit) = (Instant::now(), step + LIMIT);
    running.signal(signal)?;
    // Every second trial sends a second signal if the program is still running. Not for SIGHUP, because a closing
    // terminal sends it twice.
    let second = signal != "HUP" && (trial / 3).is_multiple_of(2) && still_there(&mut running)?;
    if second {
        (sent, limit) = (Instant::now(), SECOND_LIMIT);
        running.signal(signal)?;
    }
    let ended = running.let_run(limit)?;
    let took = sent.elapsed();
    ensure!(ended, "still running {:.1} s after SIG{signal}, second: {second}", took.as_secs_f64());
    let output = running.wait_within(PATIENCE)?;
    let saved = newest_sound(&place)?;
    if output.code == Some(0) {
        // It was in its last step and has finished its work.
        ensure!(saved == recipe.steps, "it ended with exit code 0 at step {saved}");
        return Ok(Met { took, second, too_late: false });
    }
    ensure!(
        output.shell_code() == Some(128 + number),
        "after SIG{signal} exit code {:?}: {}",
        output.shell_code(),
        last_line(&output)
    );
    // A program that got one signal after its handler was set saves what it has done and removes partial files. Before
    // the first step there is nothing to save, and it ends at once.
    if output.code.is_some() && !second {
        let logged = last_logged(&place)?;
        ensure!(saved == logged, "step {logged} was done, but {} is saved", newest_saved(&place));
        if saved > 0 {
            ensure_tidy(&place)?;
        }
    }
    Ok(Met { took, second, too_late: false })
}

fn still_there(running: &mut Running) -> anyhow::Result<bool> {
    Ok(!running.let_run(Duration::from_millis(30))?)
}
