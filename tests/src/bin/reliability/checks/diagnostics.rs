//! Standard error and standard output that are closed, full, or no longer read.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::{Place, Running, nodes};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{End, PATIENCE, Recipe, Reference, last_line, last_logged, newest_saved, newest_sound};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "diagnostics",
    goal: "lost output costs no work",
    meaning: "Training runs with standard error or standard output closed, on a full device, or in a pipe \
              whose reader leaves after some lines. It must end with exit code 0, bit for bit like the \
              undisturbed run; after SIGINT with 130 and all steps saved. Commands that print a result to \
              standard output exit with 0 when the reader leaves and with 6 when the device is full. Nothing \
              done to standard error changes exit code 0.",
    run,
};

/// One log line per step, so that there is much output.
const RECIPE: Recipe = Recipe {
    steps: 12,
    set: "train.batch=2 train.log_every=1 train.checkpoint_every=4 train.sample_every=6",
};

/// Shell redirections of the two streams; `{}` is a full device.
const REDIRECTIONS: [&str; 8] =
    ["2>&-", ">&-", ">&- 2>&-", "2>{}", ">{}", ">{} 2>&1", "2>&1 | head -n 1", "2>&1 | head -n 7 >&-"];

/// Commands that print a result to standard output and need no network.
const ANSWERS: [&str; 10] = [
    "--help",
    "--version",
    "train --help",
    "completions bash",
    "flags",
    "inspect schedule",
    "inspect embedding --json",
    "inspect model --preset tiny-16",
    "inspect data --set data.limit=3",
    "inspect work --preset tiny-16 --json",
];

/// What a trial does.
#[derive(Debug, Clone, Copy)]
enum Trial {
    Redirected(&'static str),
    /// The reader of standard error leaves after this many lines.
    Leaving(u64),
    /// SIGINT after the readers have left.
    Interrupted,
    /// A command and its redirections.
    Answer(&'static str),
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let reference = RECIPE.reference(context)?;
    let probe = context.place()?;
    let devices = nodes::device(&probe.at("full"), nodes::FULL);
    let mut all: Vec<Trial> = REDIRECTIONS.map(Trial::Redirected).to_vec();
    all.retain(|trial| devices || !matches!(trial, Trial::Redirected(how) if how.contains("{}")));
    let draws = context.draws("diagnostics", 0);
    let leaving = (0..context.count(2, 40)).map(|n| draws.below(&format!("lines {n}"), RECIPE.steps + 4));
    all.extend(leaving.map(Trial::Leaving));
    all.push(Trial::Interrupted);
    all.extend(ANSWERS.map(Trial::Answer));
    let tried = trials::run(context.jobs, all.len() as u64, |number| {
        let trial = all[number as usize];
        tried(&context.place()?, &reference, trial, devices).with_context(|| format!("{trial:?}"))
    });
    let skipped = if devices { "" } else { "; no full device: this user cannot make one" };
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{} ways to lose output{skipped}", all.len()),
        complaints: tried.complaints,
    })
}

fn tried(place: &Place, reference: &Reference, trial: Trial, devices: bool) -> anyhow::Result<()> {
    ensure!(!devices || nodes::device(&place.at("full"), nodes::FULL), "cannot make the device");
    let line = format!("{} --device cpu --threads 1", RECIPE.line());
    match trial {
        Trial::Redirected(how) => ended(place, &redirected(place, &line, how)?, 0)?,
        Trial::Leaving(lines) => {
            let code = leaving(place, &line, lines, None)?;
            ensure!(code == Some(0), "exit code {code:?}");
        }
        Trial::Interrupted => {
            let code = leaving(place, &line, 3, Some("INT"))?;
            // It may have finished its last step.
            ensure!(
                code == Some(130) || newest_saved(place) == RECIPE.steps,
                "after SIGINT exit code {code:?}"
            );
            let saved = newest_sound(place)?;
            ensure!(
                saved == last_logged(place)? && saved > 0,
                "expected all steps saved, found step {saved}"
            );
            RECIPE.finish(place)?;
        }
        Trial::Answer(command) => return answered(place, command, devices),
    }
    End::of(place)?.ensure_same(&reference.end)
}

/// Redirections of a result: a reader that has gone is not a failure, a full disk is.
fn answered(place: &Place, command: &str, devices: bool) -> anyhow::Result<()> {
    let ways = [(">&-", 0), ("2>&-", 0), ("| head -c 1 >&-", 0), ("2>{}", 0), (">{}", 6), (">{} 2>&1", 6)];
    for (how, code) in ways.into_iter().filter(|(how, _)| devices || !how.contains("{}")) {
        let output = redirected(place, command, how)?;
        ended(place, &output, code).with_context(|| how.to_owned())?;
    }
    Ok(())
}

fn ended(place: &Place, output: &tests::Output, code: i32) -> anyhow::Result<()> {
    // In a pipeline the shell's exit code is that of the last program.
    let found = String::from_utf8_lossy(&place.read("code")?).trim().to_owned();
    ensure!(found == code.to_string(), "exit code {found}, expected {code}: {}", last_line(output));
    Ok(())
}

/// Runs the program in a shell with redirected streams. Its exit code goes to the file `code`, and its output to
/// `said`, because a pipe might not hold it all.
fn redirected(place: &Place, line: &str, how: &str) -> anyhow::Result<tests::Output> {
    let program = place.command(line)?;
    let how = how.replace("{}", "full");
    let (streams, pipe) = how.split_once('|').map_or((how.as_str(), ""), |(streams, pipe)| (streams, pipe));
    let pipe = if pipe.is_empty() { String::new() } else { format!("|{pipe}") };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec > said; {{ \"$0\" \"$@\" {streams}; echo $? > code; }} {pipe}")]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    Running::start(line, &mut shell)?.wait_within(PATIENCE)
}

/// Runs the program with a reader of standard error that leaves after some lines, and one of standard output that
/// leaves at once; then it may send a signal. Returns the exit code.
fn leaving(place: &Place, line: &str, lines: u64, signal: Option<&str>) -> anyhow::Result<Option<i32>> {
    let mut child = place.command(line)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let stderr = child.stderr.take().context("no standard error")?;
    for read in BufReader::new(stderr).lines().take(usize::try_from(lines)?) {
        read?;
    }
    if let Some(name) = signal {
        let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill: {sent}");
    }
    let begun = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("still running after {:.0} s", PATIENCE.as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
