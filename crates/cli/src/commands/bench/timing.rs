//! Durations of equal steps, the age of the process and its memory.

use std::fs;
use std::time::Duration;

/// Wall-clock seconds of steps that do the same work.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Timings {
    /// Seconds from the start of the process, or of the command if that is unknown, to the end of the first step.
    pub(in crate::commands) first_after: f64,
    /// Seconds of each step after the warm-up, in order; at least one.
    pub(in crate::commands) seconds: Vec<f64>,
}

impl Timings {
    /// The middle one, or the mean of the two in the middle.
    pub(in crate::commands) fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        }
    }

    /// The fastest.
    pub(in crate::commands) fn min(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::NAN, f64::min)
    }

    /// Over all steps.
    pub(in crate::commands) fn mean(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / self.seconds.len() as f64
    }
}

/// Time since this process started, to a hundredth of a second; Linux only.
pub(in crate::commands) fn process_age() -> Option<Duration> {
    let read = |path| fs::read_to_string(path).ok();
    parse_age(&read("/proc/self/stat")?, &read("/proc/uptime")?)
}

/// Field 22 of `stat` is the start time in ticks since boot; `uptime` begins with the seconds since boot. Field 2 of
/// `stat` is the program's name in brackets and may hold anything.
fn parse_age(stat: &str, uptime: &str) -> Option<Duration> {
    /// Fixed by the kernel's interface, whatever the machine's clock.
    const TICKS_PER_S: f64 = 100.0;
    let (_, after_name) = stat.rsplit_once(')')?;
    let started: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    // In a container, one of the two files may use another clock.
    Duration::try_from_secs_f64(now - started / TICKS_PER_S).ok().filter(|age| *age < MOST_AGE)
}

/// A larger age is implausible, so it is discarded.
const MOST_AGE: Duration = Duration::from_secs(600);

/// Peak memory of this process so far, in MiB; Linux only.
pub(in crate::commands) fn peak_mib() -> Option<f64> {
    parse_peak(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM:   123456 kB`, the high-water mark of the resident set.
fn parse_peak(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_do_not_depend_on_the_order() {
        let timings = |seconds: &[f64]| Timings { first_after: 1.0, seconds: seconds.to_vec() };
        assert_eq!(timings(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(timings(&[4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert_eq!((timings(&[4.0, 1.0]).min(), timings(&[4.0, 1.0]).mean()), (1.0, 2.5));
    }

    #[test]
    fn the_high_water_mark_is_read_in_kibibytes() {
        assert_eq!(parse_peak("Name:\tddpm\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), Some(2.0));
        assert_eq!(parse_peak("VmHWM: many kB"), None);
        assert_eq!(parse_peak(""), None);
    }

    #[test]
    fn the_age_is_counted_in_ticks_from_the_start_of_the_system() {
        let fields: Vec<String> =
            (3..=52).map(|n| if n == 22 { "12300".into() } else { n.to_string() }).collect();
        let stat = format!("77 (a) b (c) {}", fields.join(" "));
        assert_eq!(parse_age(&stat, "125.5 300.00\n"), Some(Duration::from_millis(2500)));
        assert_eq!(parse_age(&stat, "122.0 300.00\n"), None);
        assert_eq!(parse_age(&stat, "9000.0 300.00\n"), None);
        assert_eq!(parse_age("77 (a) S 1", "125.5"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_an_age() {
        assert!(process_age().is_some());
    }
}
