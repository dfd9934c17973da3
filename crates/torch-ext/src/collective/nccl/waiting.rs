//! Waiting with a limit for work that only tells its state when asked.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two questions. A step has few waits, each of which takes this much longer at most.
const PAUSE: Duration = Duration::from_micros(100);

/// Asks `is_over` until it says yes or fails, but no longer than `limit`.
pub(super) fn wait_until(
    limit: Duration,
    mut is_over: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let begun = Instant::now();
    while !is_over()? {
        if begun.elapsed() >= limit {
            return Err(format!("timed out after {} s", limit.as_secs_f64()));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Runs `work` on a thread of its own and waits for it, but no longer than `limit`. Returns whether it has ended.
pub(super) fn within(limit: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().spawn(move || {
        work();
        // Nobody may be waiting any more.
        let _ = sender.send(());
    });
    thread.is_ok() && receiver.recv_timeout(limit).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_work_its_failure_or_the_limit() {
        let (mut asked, long) = (0, Duration::from_secs(3600));
        let mut third = || {
            asked += 1;
            Ok(asked == 3)
        };
        assert_eq!(wait_until(long, &mut third), Ok(()));
        assert_eq!(asked, 3);
        assert_eq!(wait_until(long, || Err("broken".to_owned())), Err("broken".to_owned()));
        let limit = Duration::from_millis(20);
        assert_eq!(wait_until(limit, || Ok(false)), Err("timed out after 0.02 s".to_owned()));
        // What is over is over, whatever the limit.
        assert_eq!(wait_until(Duration::ZERO, || Ok(true)), Ok(()));
    }

    #[test]
    fn work_that_does_not_end_is_left_alone() {
        assert!(within(Duration::from_secs(3600), || ()));
        let (keep, never) = mpsc::channel::<()>();
        assert!(!within(Duration::from_millis(20), move || {
            let _ = never.recv();
        }));
        drop(keep);
    }
}
