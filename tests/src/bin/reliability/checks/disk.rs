//! A full disk.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use tests::{Place, Running};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{
    End, PATIENCE, Recipe, Reference, ensure_one_line, ensure_tidy, newest_saved, newest_sound,
};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "disk",
    goal: "a full disk costs no checkpoint",
    meaning: "A run with a checkpoint is resumed under a limit on file size, as on a full disk: from too \
              small for the configuration up to enough for all but the largest file. It must end with exit \
              code 6 and one line. The checkpoint still verifies, nothing half-written is left, and with \
              enough space the same command ends like the undisturbed run.",
    run,
};

const RECIPE: Recipe =
    Recipe { steps: 20, set: "train.batch=2 train.log_every=1 train.checkpoint_every=4 model.dropout=0.1" };

/// File size limits, in blocks of 512 bytes.
const LIMITS: [u64; 6] = [0, 2, 16, 128, 1024, 1800];

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let reference = RECIPE.reference(context)?;
    let count = context.count(LIMITS.len() as u64, 10 * LIMITS.len() as u64);
    let tried = trials::run(context.jobs, count, |trial| {
        let draws = context.draws("disk", trial);
        let limit = LIMITS[trial as usize % LIMITS.len()];
        // First these limits, then similar ones.
        let limit = if trial < LIMITS.len() as u64 { limit } else { draws.below("limit", limit + 2) };
        filled(&context.place()?, &reference, limit).map_err(|error| error.context(format!("{limit} blocks")))
    });
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{} ended with exit code 6 and were resumed later", tried.held.len()),
        complaints: tried.complaints,
    })
}

fn filled(place: &Place, reference: &Reference, limit: u64) -> anyhow::Result<()> {
    let mut running = place.start(&RECIPE.line())?;
    while newest_saved(place) == 0 && !running.let_run(Duration::from_millis(1))? {}
    running.signal("KILL")?;
    running.wait_within(PATIENCE)?;
    let before = newest_sound(place)?;
    ensure!((1..RECIPE.steps).contains(&before), "interrupted after step {before}");

    let line = format!("{} --device cpu --threads 1", RECIPE.line());
    let program = place.command(&line)?;
    let mut shell = Command::new("sh");
    // With the signal ignored, which would end the program, writes fail as on a full disk.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = Running::start(&line, &mut shell)?.wait_within(PATIENCE)?;
    ensure_one_line(&output, 6, &["run"])?;
    ensure!(newest_sound(place)? >= before, "the newest checkpoint is gone");
    ensure_tidy(place)?;
    RECIPE.finish(place)?;
    End::of(place)?.ensure_same(&reference.end)
}
