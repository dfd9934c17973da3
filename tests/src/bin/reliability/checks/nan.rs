//! Losses and gradients that are NaN.

use anyhow::ensure;
use tests::{Output, Place, Running};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{
    End, PATIENCE, Recipe, Reference, ensure_one_line, ensure_tidy, last_line, last_logged, newest_sound,
};
use crate::trials;
use crate::weights::ensure_finite;

pub(crate) const CHECK: Check = Check {
    name: "nan",
    goal: "NaN never gets into a checkpoint",
    meaning: "The loss, or a gradient, becomes NaN at a random step. By default the run ends in that step \
              with exit code 3 and one line, every value in every checkpoint is finite, and without the \
              fault the same command ends like the undisturbed run. With `--on-nan skip` and `--on-nan \
              rollback` the run continues to its end.",
    run,
};

const RECIPE: Recipe =
    Recipe { steps: 20, set: "train.batch=2 train.log_every=1 train.checkpoint_every=4 model.dropout=0.1" };

const FAULTS: [&str; 2] = ["nan-loss", "nan-gradient"];
const POLICIES: [&str; 3] = ["", " --on-nan skip", " --on-nan rollback"];

fn run(context: &Context) -> anyhow::Result<Outcome> {
    context.faulty()?;
    let reference = RECIPE.reference(context)?;
    let kinds = (FAULTS.len() * POLICIES.len()) as u64;
    let tried = trials::run(context.jobs, context.count(kinds, 100 * kinds), |trial| {
        let fault = FAULTS[trial as usize % FAULTS.len()];
        let policy = POLICIES[trial as usize / FAULTS.len() % POLICIES.len()];
        // Steps count from 0 here; the first checkpoint exists by step 4.
        let step = 4 + context.draws("nan", trial).below("step", RECIPE.steps - 5);
        diverged(context, &reference, &format!("{fault}:{step}"), policy, step)
            .map_err(|error| error.context(format!("{fault}:{step}{policy}")))
    });
    let files: u64 = tried.held.iter().sum();
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{files} files of weights, all finite"),
        complaints: tried.complaints,
    })
}

/// One run with its fault; returns the number of weight files checked.
fn diverged(
    context: &Context,
    reference: &Reference,
    fault: &str,
    policy: &str,
    step: u64,
) -> anyhow::Result<u64> {
    let place = context.place()?;
    let output = faulty(context, &place, &format!("{}{policy}", RECIPE.line()), fault)?;
    if policy.is_empty() {
        ensure_one_line(&output, 3, &["diverged", &step.to_string()])?;
        let logged = last_logged(&place)?;
        ensure!(logged == step, "NaN in step {step}, but {logged} steps are logged");
        ensure_tidy(&place)?;
    } else {
        ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), last_line(&output));
    }
    ensure!(newest_sound(&place)? > 0, "no checkpoint");
    let read = ensure_finite(&place)?;
    ensure!(read > 0, "no weights to check");
    if policy.is_empty() {
        RECIPE.finish(&place)?;
        End::of(&place)?.ensure_same(&reference.end)?;
    }
    Ok(read)
}

/// Runs the program with a fault, to its end.
fn faulty(context: &Context, place: &Place, line: &str, fault: &str) -> anyhow::Result<Output> {
    let line = format!("{line} --device cpu --threads 1");
    let mut command = place.command_of(context.faulty()?, &line);
    Running::start(&line, command.env("DDPM_FAULT", fault))?.wait_within(PATIENCE)
}
