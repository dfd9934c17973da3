//! Killed ranks, launchers, and all of them.

mod disturbed;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tests::ranks::{self, Rank};
use tests::{Output, Place, Running};

use crate::context::Context;
use crate::outcome::{Check, NotTried, Outcome};
use crate::training::{End, Recipe, Reference, ensure_tidy, finished, newest_saved};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "ranks",
    goal: "a killed rank loses nothing",
    meaning: "`ddpm launch --restarts` trains on 2, 3 and 4 ranks by turns (2 in a quick run). A random rank \
              is killed by SIGKILL at a random moment of the whole run, again and again. The launcher must \
              start all ranks again by itself each time, say which rank was killed, and end with exit code \
              0. In other runs a rank is stopped by SIGSTOP, then the launcher is killed, then all ranks at \
              once: all processes must end in time, with one line, and a checkpoint that verifies. The same \
              command continues. Every run must end bit-identical to an undisturbed one on as many ranks. A \
              full run does the same with torchrun if it is installed.",
    run,
};

/// The run of a full check.
const FULL: Recipe = Recipe { steps: 48, set: SET };
/// The run of a quick one. It spends most of its time starting processes, so shorter steps would gain little, and there would
/// be less time to stop a rank between two checkpoints.
const QUICK: Recipe = Recipe { steps: 32, set: SET };

/// The batch is a multiple of every number of ranks.
const SET: &str =
    "train.batch=12 train.log_every=1 train.checkpoint_every=8 model.dropout=0.1 train.ema_decay=0.9";

/// Steps between checkpoints.
const INTERVAL: u64 = 8;

/// Maximum number of kills per run: with more, most would hit the start of the last few steps.
const KILLS_A_RUN: u64 = 5;

/// A run that finished before all its kills is followed by another.
const RUNS: u64 = 5;

/// A launcher gives the ranks that remain 10 s to end, each time.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often to look for processes.
const PAUSE: Duration = Duration::from_millis(50);

/// The rank timeout in seconds. Ranks that start together must also meet within it, on a busy machine.
fn timeout(context: &Context) -> u64 {
    context.count(4, 8)
}

/// A number of ranks and their undisturbed run.
struct Group {
    size: usize,
    recipe: &'static Recipe,
    reference: Reference,
}

impl Group {
    fn new(context: &Context, size: usize) -> anyhow::Result<Self> {
        let recipe = if context.full { &FULL } else { &QUICK };
        let reference = recipe.reference_by(context, &launch(size, "", recipe))?;
        Ok(Self { size, recipe, reference })
    }

    /// The command with which its ranks train.
    fn launch(&self, flags: &str) -> String {
        launch(self.size, flags, self.recipe)
    }
}

/// What a trial survived.
#[derive(Debug, Default)]
struct Survived {
    /// Killed ranks.
    kills: u64,
    /// The same under torchrun.
    torchrun: u64,
    /// Killed launchers, and kills of all ranks at once.
    ends: u64,
    /// Time from the stop of a rank to the end of the launcher.
    stop: Option<Duration>,
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Err(NotTried("ranks are found in /proc, which only Linux has".to_owned()).into());
    }
    let sizes: &[usize] = if context.full { &[2, 3, 4] } else { &[2] };
    let groups = sizes.iter().map(|&size| Group::new(context, size)).collect::<anyhow::Result<Vec<_>>>()?;
    // Runs with kills, 5 or 100 kills together; runs with everything else; runs under torchrun.
    let (kills, others) = (context.count(1, 25), context.count(1, 9));
    let torchrun = if context.full && has_torchrun() { 34 } else { 0 };
    // A trial of a full run has up to four processes at work.
    let jobs = if context.full { context.jobs.div_ceil(2) } else { context.jobs };
    let tried = trials::run(jobs, kills + others + torchrun, |trial| {
        let group = &groups[trial as usize % groups.len()];
        if trial < kills {
            let kills = killed(context, group, trial, context.count(5, 4), Launcher::Ddpm)?;
            return Ok(Survived { kills, ..Survived::default() });
        }
        if trial < kills + others {
            return disturbed::run(context, group, trial);
        }
        let torchrun = killed(context, group, trial, 3, Launcher::Torchrun)?;
        Ok(Survived { torchrun, ..Survived::default() })
    });
    let sum = |of: fn(&Survived) -> u64| tried.held.iter().map(of).sum::<u64>();
    let (kills, ends, by_torchrun) = (sum(|s| s.kills), sum(|s| s.ends), sum(|s| s.torchrun));
    let stops = tried.held.iter().filter_map(|survived| survived.stop);
    let (stopped, slowest) = (stops.clone().count() as u64, stops.max().unwrap_or_default());
    let torchrun = match (context.full, torchrun) {
        (false, _) => String::new(),
        (true, 0) => "; torchrun was not there".to_owned(),
        (true, _) => format!("; {by_torchrun} killed under torchrun"),
    };
    let survived = kills + ends + stopped + by_torchrun;
    Ok(Outcome {
        tried: survived + tried.complaints.len() as u64,
        survived,
        figure: format!(
            "{kills} single ranks killed, launchers or all ranks {ends} times; {stopped} stopped, all ended after at most {:.1} s{torchrun}",
            slowest.as_secs_f64()
        ),
        complaints: tried.complaints,
    })
}

fn launch(size: usize, flags: &str, recipe: &Recipe) -> String {
    format!("launch --nproc {size} {flags} -- {}", recipe.line())
}

/// What starts the ranks, and starts them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launcher {
    Ddpm,
    Torchrun,
}

impl Launcher {
    fn start(self, context: &Context, place: &Place, group: &Group) -> anyhow::Result<Running> {
        if self == Self::Ddpm {
            return place.start(&group.launch(&format!("--restarts {KILLS_A_RUN}")));
        }
        let line = format!(
            "--standalone --no-python --nproc-per-node {} --max-restarts {KILLS_A_RUN} --monitor-interval 0.1 --",
            group.size
        );
        let mut command = place.command_of(Path::new("torchrun"), &line);
        let train = format!("{} --device cpu --threads 1", group.recipe.line());
        command.arg(&context.ddpm).args(train.split_whitespace());
        Running::start(&train, &mut command)
    }
}

fn has_torchrun() -> bool {
    Command::new("torchrun").arg("--help").output().is_ok_and(|output| output.status.success())
}

/// Kills ranks `wanted` times, in one run or, if they end too soon, in several; returns how many kills hit.
fn killed(
    context: &Context,
    group: &Group,
    trial: u64,
    wanted: u64,
    launcher: Launcher,
) -> anyhow::Result<u64> {
    let draws = context.draws("ranks", trial);
    let mut kills = 0;
    for run in 0..RUNS {
        let place = context.place()?;
        let mut running = launcher.start(context, &place, group)?;
        let mut attempt = 0;
        while kills < wanted {
            // A little longer than a run takes, so that some kills hit its end.
            let length = 1.05 * group.reference.seconds(group.recipe.steps - newest_saved(&place));
            let moment = length * draws.unit(&format!("moment {kills} {run}"));
            if running.let_run(Duration::from_secs_f64(moment))? {
                break;
            }
            let number = draws.below(&format!("rank {kills} {run}"), group.size as u64) as usize;
            let is_it = |rank: &Rank| rank.attempt == attempt && rank.number == number;
            let Some(rank) = wait_for(&place, &mut running, is_it)? else { break };
            rank.signal("KILL")?;
            // If the rank had already done its work, there is no other attempt.
            if wait_for(&place, &mut running, |rank| rank.attempt > attempt)?.is_none() {
                break;
            }
            (kills, attempt) = (kills + 1, attempt + 1);
        }
        let output = finished(running.wait_within(PATIENCE)?)?;
        if launcher == Launcher::Ddpm {
            ensure_told(&output, attempt)?;
        }
        End::of(&place)?.ensure_same(&group.reference.end)?;
        ensure_tidy(&place)?;
        if kills == wanted {
            return Ok(kills);
        }
    }
    bail!("only {kills} of {wanted} kills in {RUNS} runs came in time")
}

/// Waits for a rank, or for the end of its launcher.
fn wait_for(
    place: &Place,
    launcher: &mut Running,
    is_it: impl Fn(&Rank) -> bool,
) -> anyhow::Result<Option<Rank>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(rank) = ranks::running(place)?.into_iter().find(&is_it) {
            return Ok(Some(rank));
        }
        if launcher.let_run(PAUSE)? {
            return Ok(None);
        }
    }
    bail!("the launcher neither ended nor started the ranks again")
}

/// The launcher must have reported each restart, and that a kill was the reason.
fn ensure_told(output: &Output, restarts: u64) -> anyhow::Result<()> {
    let told: Vec<&str> = output.stderr.lines().filter(|line| line.contains("starting all ranks")).collect();
    let is_kill = |line: &&str| line.contains("was killed by signal 9");
    ensure!(
        told.len() as u64 == restarts && told.iter().all(is_kill),
        "expected {restarts} restarts after kills, found {told:?}"
    );
    Ok(())
}
