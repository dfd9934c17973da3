//! The origin of a measurement: commit, processor and date.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

/// The commit, machine and date of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) commit: String,
    pub(crate) machine: String,
    /// `YYYY-MM-DD`.
    pub(crate) date: String,
}

impl Origin {
    /// The current commit, machine and date.
    pub(crate) fn now(workspace: &Workspace, device: Option<&str>) -> Self {
        let unknown = || "unknown".to_owned();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = files::counted(threads, "thread");
        let device = device.map(|device| format!(", {device}")).unwrap_or_default();
        Self {
            commit: commit(workspace).unwrap_or_else(unknown),
            machine: format!("{}, {threads}{device}", processor().unwrap_or_else(unknown)),
            date: today(),
        }
    }
}

/// The current commit, shortened; `None` outside a repository.
pub(crate) fn commit(workspace: &Workspace) -> Option<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short", "HEAD"]).current_dir(workspace.root());
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The processor's name; known only on Linux.
pub(crate) fn processor() -> Option<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?;
    Some(name.trim().to_owned())
}

/// Today's date in UTC, `YYYY-MM-DD`.
pub(crate) fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// The date this many days after 1970-01-01.
fn date(mut days: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        let known = [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (364, "1970-12-31"),
            (365, "1971-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_786, "2026-11-29"),
        ];
        for (days, expected) in known {
            assert_eq!(date(days), expected);
        }
        assert!(today().as_str() > "2025-01-01" && today().len() == 10, "{}", today());
    }
}
