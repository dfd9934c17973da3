//! Many independent trials, some in parallel.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The results of a check's trials.
#[derive(Debug)]
pub(crate) struct Tried<T> {
    /// The results of the successful trials, in no particular order.
    pub(crate) held: Vec<T>,
    /// The errors of the others.
    pub(crate) complaints: Vec<String>,
}

impl<T> Tried<T> {
    /// All trials.
    pub(crate) fn count(&self) -> u64 {
        (self.held.len() + self.complaints.len()) as u64
    }
}

/// Runs trials 0 to `count - 1`, `jobs` at a time; a trial that breaks its promise returns an error. Prints progress
/// after each tenth, and every failure.
pub(crate) fn run<T: Send>(
    jobs: usize,
    count: u64,
    trial: impl Fn(u64) -> anyhow::Result<T> + Sync,
) -> Tried<T> {
    let next = AtomicU64::new(0);
    let tried = Mutex::new(Tried { held: Vec::new(), complaints: Vec::new() });
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let result = trial(number);
            let Ok(mut tried) = tried.lock() else { return };
            match result {
                Ok(value) => tried.held.push(value),
                Err(error) => {
                    // Print at once: the end may be hours away.
                    let complaint = format!("trial {number}: {error:#}");
                    println!("    {}", files::printable(&complaint));
                    tried.complaints.push(complaint);
                }
            }
            let done = tried.count();
            if count >= 10 && done * 10 / count != (done - 1) * 10 / count {
                println!("    {done} of {count}, {} failed", tried.complaints.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(usize::try_from(count).unwrap_or(jobs)) {
            scope.spawn(work);
        }
    });
    // A panicked trial has ended the program by now: `scope` propagates it.
    tried.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_runs_once_and_failures_are_kept() {
        let tried = run(3, 20, |n| if n == 13 { anyhow::bail!("unlucky") } else { Ok(n) });
        let mut held = tried.held.clone();
        held.sort_unstable();
        assert_eq!(held, (0..20).filter(|&n| n != 13).collect::<Vec<_>>());
        assert_eq!((tried.count(), tried.complaints), (20, vec![String::from("trial 13: unlucky")]));
    }
}
