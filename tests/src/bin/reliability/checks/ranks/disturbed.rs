//! A run that a stopped rank, a killed launcher and the death of all ranks interrupt, one after another.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::Place;
use tests::ranks::{self, Rank};

use super::{Group, INTERVAL, PAUSE, Survived, timeout, wait_for};
use crate::context::Context;
use crate::draws::Draws;
use crate::training::{
    End, PATIENCE, ensure_one_line, ensure_tidy, finished, just_after, newest_saved, newest_sound,
};

/// From the rank timeout after the stop of a rank to the end of its launcher, which gives the other ranks 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(10 + 5);

/// From the death of a launcher to the end of its ranks.
const ORPHAN_LIMIT: Duration = Duration::from_secs(20);

/// Interrupts a run three times, then lets the same command finish it.
pub(super) fn run(context: &Context, group: &Group, trial: u64) -> anyhow::Result<Survived> {
    let (place, draws) = (context.place()?, context.draws("ranks", trial));
    let stop = Some(stop_one(&place, group, timeout(context), &draws)?);
    let ends = [kill_launcher(&place, group, &draws)?, kill_all(&place, group, &draws)?];
    finished(place.start(&group.launch(""))?.wait_within(PATIENCE)?)?;
    End::of(&place)?.ensure_same(&group.reference.end)?;
    ensure_tidy(&place)?;
    Ok(Survived { ends: ends.map(u64::from).iter().sum(), stop, ..Survived::default() })
}

/// Stops a rank between two checkpoints; returns how long all took to end.
fn stop_one(place: &Place, group: &Group, timeout: u64, draws: &Draws) -> anyhow::Result<Duration> {
    let size = group.size;
    let mut running = place.start(&group.launch(&format!("--timeout {timeout}")))?;
    let number = draws.below("stopped", size as u64) as usize;
    just_after(&mut running, place, 1 + INTERVAL * draws.below("stop", 2), INTERVAL)?;
    let stopped = wait_for(place, &mut running, |rank| rank.number == number)?;
    let was_there = stopped.as_ref().map(|rank| rank.signal("STOP")).transpose()?;
    ensure!(was_there == Some(true), "rank {number} ended before it was stopped");
    let begun = Instant::now();
    let ended = running.let_run(Duration::from_secs(timeout) + STOP_LIMIT)?;
    let took = begun.elapsed();
    if !ended {
        // Not even a signal would end it otherwise.
        stopped.map(|rank| rank.signal("KILL")).transpose()?;
    }
    ensure!(ended, "rank {number} was stopped, and {:.1} s later not all have ended", took.as_secs_f64());
    let line = format!("rank {number} of {size} was stuck, and has been ended");
    ensure_one_line(&running.wait_within(PATIENCE)?, 1, &[&line])?;
    let left = ranks::running(place)?;
    ensure!(left.is_empty(), "still running after their launcher: {left:?}");
    newest_sound(place)?;
    Ok(took)
}

/// Kills the launcher, after which the ranks must end by themselves; returns whether it was still running.
fn kill_launcher(place: &Place, group: &Group, draws: &Draws) -> anyhow::Result<bool> {
    let mut running = place.start(&group.launch(""))?;
    if running.let_run(moment(place, group, draws.unit("launcher")))? {
        return finished(running.wait_within(PATIENCE)?).map(|_| false);
    }
    let mut ranks = ranks::running(place)?;
    running.signal("KILL")?;
    let begun = Instant::now();
    loop {
        std::thread::sleep(PAUSE);
        // One may just have been started.
        ranks.extend(ranks::running(place)?);
        if ranks.iter().all(Rank::is_over) {
            break;
        }
        ranks.retain(|rank| !rank.is_over());
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(
            begun.elapsed() < ORPHAN_LIMIT,
            "still running {seconds:.1} s after their launcher: {ranks:?}"
        );
    }
    let output = running.wait_within(PATIENCE)?;
    ensure!(output.signal == Some(9), "the launcher was not killed: {}", output.stderr);
    newest_sound(place)?;
    Ok(true)
}

/// Kills all ranks at once; returns whether they were still running.
fn kill_all(place: &Place, group: &Group, draws: &Draws) -> anyhow::Result<bool> {
    let mut running = place.start(&group.launch(""))?;
    let is_over = running.let_run(moment(place, group, draws.unit("all")))?;
    // The last one is started last.
    let last = wait_for(place, &mut running, |rank| rank.number + 1 == group.size)?;
    let ranks = ranks::running(place)?;
    if is_over || last.is_none() || ranks.len() < group.size {
        return finished(running.wait_within(PATIENCE)?).map(|_| false);
    }
    for rank in &ranks {
        rank.signal("KILL")?;
    }
    ensure_one_line(&running.wait_within(PATIENCE)?, 137, &["was killed by signal 9"])?;
    newest_sound(place)?;
    Ok(true)
}

/// A moment in the first half of what is left of the run.
fn moment(place: &Place, group: &Group, unit: f64) -> Duration {
    let left = group.recipe.steps - newest_saved(place);
    Duration::from_secs_f64(0.5 * unit * group.reference.seconds(left))
}
