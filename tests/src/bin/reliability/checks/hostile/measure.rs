//! Process cost: CPU time and peak memory, read from `/proc` while it runs.

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::ensure;

/// Linux counts CPU time in hundredths of a second, whatever the kernel's own clock is.
const TICK_MS: u64 = 10;

/// The cost of one run of the program.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Seconds of CPU time, user and system.
    pub(super) cpu: f64,
    /// Peak resident memory in MB.
    pub(super) peak_mb: f64,
}

/// Waits for a process to end, and kills it when it exceeds `most_mb` or `patience`.
pub(super) fn watch(child: &mut Child, most_mb: f64, patience: Duration) -> anyhow::Result<Cost> {
    let (begun, pid, mut cost) = (Instant::now(), child.id(), Cost::default());
    loop {
        // Read before checking for the end; afterwards there is nothing to read.
        cost.peak_mb = peak_mb(pid).unwrap_or(0.0).max(cost.peak_mb);
        cost.cpu = cpu_seconds(pid).unwrap_or(0.0).max(cost.cpu);
        if child.try_wait()?.is_some() {
            return Ok(cost);
        }
        let within = cost.peak_mb <= most_mb && begun.elapsed() < patience;
        if !within {
            child.kill()?;
            child.wait()?;
        }
        ensure!(within, "killed after {:.1} s with {:.0} MB", begun.elapsed().as_secs_f64(), cost.peak_mb);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn peak_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 and 15. Field 2 is the name in parentheses, which may contain spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 * TICK_MS as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn work_and_memory_are_seen_and_limited() {
        let start = |line: &str| Command::new("sh").args(["-c", line]).spawn().unwrap();
        let minute = Duration::from_secs(60);
        let cost =
            watch(&mut start("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"), 1e6, minute).unwrap();
        assert!(cost.cpu > 0.0 && cost.peak_mb > 0.1, "{cost:?}");
        assert!(watch(&mut start("sleep 9"), 1e6, Duration::from_millis(50)).is_err());
        assert!(watch(&mut start("sleep 9"), 0.1, minute).is_err());
    }
}
