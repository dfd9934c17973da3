//! A rank or the launcher is killed or stopped: what ends, what is said, and what continues.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tests::ranks::{self, Rank};
use tests::{Place, Running};

use super::{PATIENCE, TRAIN, checkpoint, launch};

/// A rank that runs now.
fn rank_of(place: &Place, number: usize) -> anyhow::Result<Rank> {
    let found = ranks::running(place)?.into_iter().find(|rank| rank.number == number);
    found.with_context(|| format!("rank {number} is not there"))
}

/// Two ranks that train in `run` for longer than any test, after the first line of their log.
fn long_run(place: &Place, flags: &str) -> anyhow::Result<Running> {
    let line = format!("{TRAIN} --set train.steps=100000 --set train.log_every=1 --run run");
    let mut running = place.start(&format!("launch --nproc 2 {flags} -- {line}"))?;
    running.wait_for_more(&place.at("run/metrics.jsonl"))?;
    Ok(running)
}

/// Kills a rank after the run has logged something.
fn kill(place: &Place, running: &mut Running, run: &str, number: usize) -> anyhow::Result<()> {
    running.wait_for_more(&place.at(&format!("{run}/metrics.jsonl")))?;
    ensure!(rank_of(place, number)?.signal("KILL")?, "rank {number} has ended");
    Ok(())
}

#[test]
fn a_killed_rank_ends_all_and_restarts_end_as_the_undisturbed_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!(
        "{TRAIN} --set train.steps=40 --set train.log_every=1 --set train.checkpoint_every=5 \
         --set model.dropout=0.1"
    );
    let _ = launch(&place, "--nproc 2", &format!("{line} --run whole"))?.ok();

    // Without restarts: one clear line, the exit code of the killed rank, and a checkpoint to go on from.
    let start = |flags: &str| place.start(&format!("launch --nproc 2 {flags} -- {line} --run hurt"));
    let mut running = start("")?;
    kill(&place, &mut running, "hurt", 1)?;
    let output = running.wait_within(PATIENCE)?.expect_code(137);
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.contains("error")).collect();
    ensure!(
        errors.len() == 1 && errors[0].starts_with("error: rank 1 of 2 was killed by signal 9"),
        "{errors:?}"
    );

    // With them: each of the ranks is killed once.
    for rank in [0, 1] {
        let mut running = start("--restarts 1")?;
        kill(&place, &mut running, "hurt", rank)?;
        if rank == 0 {
            running.wait_for_more(&place.at("hurt/metrics.jsonl"))?;
            running.signal("TERM")?;
            let output = running.wait_within(PATIENCE)?.expect_code(143);
            ensure!(output.stderr.contains("starting all ranks again (1 of 1)"), "{}", output.stderr);
        } else {
            let _ = running.wait_within(PATIENCE)?.ok();
        }
    }
    ensure!(checkpoint(&place, "hurt", 40)? == checkpoint(&place, "whole", 40)?);
    ensure!(place.records("hurt")? == place.records("whole")?);

    // Another number of ranks continues the same run.
    let more = "train --run hurt --resume --set train.steps=44";
    let _ = launch(&place, "--nproc 4", more)?.ok();
    let _ = place.ddpm("train --run hurt --resume --set train.steps=46")?.ok();
    ensure!(place.names("hurt/checkpoints").contains(&"step-00000046".to_owned()));
    Ok(())
}

/// However the launcher ends, no rank goes on alone.
#[test]
fn the_ranks_of_a_killed_launcher_save_and_end() -> anyhow::Result<()> {
    // With a handler here, the children do not ignore SIGHUP, even under `nohup`.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())?;
    let place = Place::new()?;
    let running = long_run(&place, "")?;
    let ranks = ranks::running(&place)?;
    ensure!(ranks.len() == 2, "{ranks:?}");
    running.signal("KILL")?;
    let begun = Instant::now();
    while !ranks.iter().all(Rank::is_over) {
        ensure!(begun.elapsed() < PATIENCE, "{ranks:?} are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(place.names("run/checkpoints").len() == 1, "{:?}", place.names("run/checkpoints"));
    Ok(())
}

/// Also if it is not the one that writes.
#[test]
fn the_exit_code_is_that_of_the_signal_that_reached_a_rank() -> anyhow::Result<()> {
    let place = Place::new()?;
    let running = long_run(&place, "")?;
    ensure!(rank_of(&place, 1)?.signal("TERM")?, "rank 1 has ended");
    let _ = running.wait_within(PATIENCE)?.expect_code(143);
    ensure!(place.names("run/checkpoints").len() == 1, "{:?}", place.names("run/checkpoints"));
    Ok(())
}

#[test]
fn a_stuck_rank_ends_all_after_the_timeout() -> anyhow::Result<()> {
    let place = Place::new()?;
    // The ranks must meet within the timeout, on a busy machine.
    let running = long_run(&place, "--timeout 30")?;
    let rank = rank_of(&place, 1)?;
    ensure!(rank.signal("STOP")?);
    let begun = Instant::now();
    let output = running.wait_within(PATIENCE)?;
    ensure!(
        output.code.is_some_and(|code| code != 0) && begun.elapsed().as_secs() >= 20,
        "{}",
        output.stderr
    );
    ensure!(output.errors() == ["error: rank 1 of 2 was stuck, and has been ended"], "{}", output.stderr);
    // Nothing is left of the ranks.
    ensure!(rank.is_over() && ranks::running(&place)?.is_empty());
    Ok(())
}
