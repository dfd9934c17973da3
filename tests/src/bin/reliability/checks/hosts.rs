//! Two hosts and a cable that is cut.

use std::time::{Duration, Instant};

use ::tests::{Place, Running};
use anyhow::ensure;

use crate::context::Context;
use crate::namespaces::{self, Hosts};
use crate::outcome::{Check, NotTried, Outcome};
use crate::training::{
    End, PATIENCE, Recipe, ensure_one_line, ensure_tidy, finished, just_after, newest_sound,
};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "hosts",
    goal: "a cut network ends every rank",
    meaning: "Two network namespaces are two hosts with a run folder that both see. A rank trains on each. \
              At a random step the network is cut on one side. Both ranks must end by the rank timeout and \
              10 s, with exit code 7 and one line, and the newest checkpoint must verify. With the network \
              back, the same command on both hosts must end the run bit-identical to an undisturbed run on \
              two hosts. Needs Linux, `ip` and the right to make network namespaces.",
    run,
};

/// Steps between checkpoints. While rank 0 saves, the other waits longer.
const INTERVAL: u64 = 8;

const RECIPE: Recipe =
    Recipe { steps: 40, set: "train.batch=8 train.log_every=1 train.checkpoint_every=8 model.dropout=0.1" };

/// The rank timeout in seconds. Two ranks that start together must also meet within it, on a busy machine.
fn timeout(context: &Context) -> u64 {
    context.count(4, 6)
}

/// From the rank timeout after the cut to the end of both.
const LIMIT: Duration = Duration::from_secs(10);

fn run(context: &Context) -> anyhow::Result<Outcome> {
    namespaces::remove_leftovers();
    let hosts = possible(namespaces::probe(), || Hosts::new(0))?;
    let place = context.place()?;
    finish(context, &place, &hosts)?;
    let reference = End::of(&place)?;
    ensure!(reference.step == RECIPE.steps, "the undisturbed run ended at step {}", reference.step);
    drop(hosts);

    let tried = trials::run(context.jobs, context.count(1, 20), |trial| cut(context, &reference, trial));
    let slowest = tried.held.iter().max().copied().unwrap_or_default();
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!(
            "both ranks ended at most {:.1} s after the cut, with a timeout of {} s, and were resumed later",
            slowest.as_secs_f64(),
            timeout(context)
        ),
        complaints: tried.complaints,
    })
}

/// Makes what a check needs. Where the probe fails, this machine cannot try the check; whatever fails after it is a failure.
fn possible<T>(probe: anyhow::Result<()>, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    probe.map_err(|error| NotTried(format!("a network namespace cannot be made here: {error:#}")))?;
    make()
}

/// A run whose network is cut once; returns the time from the cut to the end of the last rank.
fn cut(context: &Context, reference: &End, trial: u64) -> anyhow::Result<Duration> {
    let (hosts, place) = (Hosts::new(trial + 1)?, context.place()?);
    let draws = context.draws("hosts", trial);
    let mut ranks = start(context, &place, &hosts)?;
    just_after(&mut ranks[0], &place, 1 + INTERVAL * draws.below("step", 3), INTERVAL)?;
    let side = draws.below("side", 2) as usize;
    hosts.connect(side, false)?;
    let (begun, limit) = (Instant::now(), LIMIT + Duration::from_secs(timeout(context)));
    for (rank, running) in ranks.iter_mut().enumerate() {
        let ended = running.let_run(limit.saturating_sub(begun.elapsed()))?;
        ensure!(ended, "rank {rank} still runs {:.1} s after the cut", begun.elapsed().as_secs_f64());
    }
    let took = begun.elapsed();
    for (rank, running) in ranks.into_iter().enumerate() {
        let line = format!("rank {rank} of 2 lost another rank while it waited for");
        ensure_one_line(&running.wait_within(PATIENCE)?, 7, &[&line])?;
    }
    let saved = newest_sound(&place)?;
    ensure!(saved < RECIPE.steps, "the run was over before the cut");

    hosts.connect(side, true)?;
    finish(context, &place, &hosts)?;
    End::of(&place)?.ensure_same(reference)?;
    ensure_tidy(&place)?;
    Ok(took)
}

/// Starts a rank on each host, as a user would on two machines.
fn start(context: &Context, place: &Place, hosts: &Hosts) -> anyhow::Result<[Running; 2]> {
    let line = format!("{} --device cpu --threads 1", RECIPE.line());
    let timeout = timeout(context).to_string();
    let start = |rank: usize| {
        let mut command = hosts.command(rank, place);
        command.arg(&context.ddpm).args(line.split_whitespace());
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2");
        command.env("MASTER_ADDR", Hosts::ADDRESSES[0]).env("MASTER_PORT", "29500");
        command.env("GLOO_SOCKET_IFNAME", Hosts::INTERFACE).env("DDPM_RANK_TIMEOUT", &timeout);
        Running::start(&line, &mut command)
    };
    Ok([start(0)?, start(1)?])
}

/// Runs both ranks to the end of the run.
fn finish(context: &Context, place: &Place, hosts: &Hosts) -> anyhow::Result<()> {
    for running in start(context, place, hosts)? {
        finished(running.wait_within(PATIENCE)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::possible;
    use crate::outcome::NotTried;

    #[test]
    fn only_the_probe_makes_the_row_not_tried() {
        let fails = || Err::<(), _>(anyhow::anyhow!("`ip link add`: no such type"));
        let refused = possible(Err(anyhow::anyhow!("cannot start `ip`")), || Ok(())).unwrap_err();
        assert!(refused.is::<NotTried>() && refused.to_string().ends_with("cannot start `ip`"), "{refused}");
        // Nothing is made after it.
        assert!(possible(Err(anyhow::anyhow!("no right")), fails).unwrap_err().is::<NotTried>());
        let failed = possible(Ok(()), fails).unwrap_err();
        assert!(!failed.is::<NotTried>() && failed.to_string().contains("no such type"), "{failed}");
        assert_eq!(possible(Ok(()), || Ok(3)).unwrap(), 3);
    }
}
