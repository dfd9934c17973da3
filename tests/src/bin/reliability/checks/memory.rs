//! The memory of a long run.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{Recipe, last_logged};

pub(crate) const CHECK: Check = Check {
    name: "memory",
    goal: "memory does not grow with the steps",
    meaning: "One long run of tiny steps (8x8 images, one at a time). Its resident memory is sampled all the \
              time: the median over the last tenth of the steps may be at most 2 MB above that of the second \
              tenth. The first tenth is for warming up.",
    run,
};

/// Growth limit in MB.
const DRIFT_MB: f64 = 2.0;

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let steps = context.count(1_500, 50_000);
    let recipe = Recipe {
        steps,
        set: "train.batch=1 data.size=8 model.base_channels=8 train.log_every=5 train.checkpoint_every=1000000000",
    };
    let place = context.place()?;
    let log = std::fs::File::create(place.at("log"))?;
    let line = format!("{} --device cpu --threads 1", recipe.line());
    // The log of such a long run would fill a pipe.
    let mut child = place.command(&line)?.stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut read: Vec<(u64, f64)> = Vec::new();
    let pause = Duration::from_millis(context.count(20, 500));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let step = last_logged(&place)?;
        if let Some(memory) = resident_mb(child.id()) {
            read.push((step, memory));
        }
        std::thread::sleep(pause);
    };
    ensure!(status.success(), "the run ended with {status}");
    let tenth = |number: u64| {
        let (begin, end) = (number * steps / 10, (number + 1) * steps / 10);
        // After its last step a run saves a checkpoint and draws samples.
        let inside = read.iter().filter(|(step, _)| (begin..end).contains(step));
        median(inside.map(|&(_, memory)| memory).collect())
    };
    let second = tenth(1).context("no reading in the second tenth")?;
    let last = tenth(9).context("no reading in the last tenth")?;
    let drift = last - second;
    let peak = read.iter().map(|&(_, memory)| memory).fold(0.0, f64::max);
    let complaint = format!("{second:.1} MB in the second tenth, {last:.1} MB in the last");
    Ok(Outcome {
        tried: steps,
        survived: steps,
        figure: format!("{drift:+.2} MB from {} readings, {peak:.0} MB at the peak", read.len()),
        complaints: if drift < DRIFT_MB { Vec::new() } else { vec![complaint] },
    })
}

/// The resident memory of a process; `None` when it has ended.
fn resident_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_an_ended_one_has_none() {
        assert!(resident_mb(std::process::id()).is_some_and(|mb| mb > 1.0));
        assert_eq!(resident_mb(0), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
