//! The ranks of a run as the system lists them: who they are, whether they have ended, and signals to them.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::place::Place;

/// The process of a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// Its number, from 0.
    pub number: usize,
    /// How often its launcher had started the ranks again.
    pub attempt: u64,
    /// Its process id.
    pub pid: u32,
}

impl Rank {
    /// Sends a signal by its name; returns whether the process was still there.
    ///
    /// # Errors
    /// When there is no `kill`.
    pub fn signal(&self, name: &str) -> anyhow::Result<bool> {
        let mut kill = Command::new("kill");
        kill.args([format!("-{name}"), self.pid.to_string()]).stderr(Stdio::null());
        Ok(kill.status().context("kill")?.success())
    }

    /// Whether it has ended, also if nobody has waited for it yet.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        state.is_none_or(|state| state.trim_start().starts_with(['Z', 'X']))
    }
}

/// The ranks that run in a place, by number, whoever started them: a process keeps the variables it was started with, and
/// every place has its own `HOME`.
///
/// # Errors
/// When there is no `/proc`.
pub fn running(place: &Place) -> anyhow::Result<Vec<Rank>> {
    let home = format!("HOME={}", place.at("home").display());
    let mut ranks = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // It may end at any moment, and then has no environment.
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        ranks.extend(rank_of(pid, &environment, home.as_bytes()));
    }
    ranks.sort_by_key(|rank: &Rank| rank.number);
    Ok(ranks)
}

/// A process with these variables, if it is a rank with this home.
fn rank_of(pid: u32, environment: &[u8], home: &[u8]) -> Option<Rank> {
    let variables: Vec<&[u8]> = environment.split(|&byte| byte == 0).collect();
    let value = |name: &[u8]| variables.iter().find_map(|variable| variable.strip_prefix(name));
    let number = |name: &[u8]| std::str::from_utf8(value(name)?).ok()?.parse::<u64>().ok();
    let rank = number(b"RANK=").filter(|_| variables.contains(&home))?;
    let attempt = number(b"TORCHELASTIC_RESTART_COUNT=").unwrap_or(0);
    Some(Rank { number: usize::try_from(rank).ok()?, attempt, pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_known_by_its_variables() {
        let rank = |environment: &str| rank_of(7, environment.as_bytes(), b"HOME=/a/home");
        let found = rank("PATH=/bin\0LOCAL_RANK=1\0RANK=3\0HOME=/a/home\0TORCHELASTIC_RESTART_COUNT=2\0");
        assert_eq!(found, Some(Rank { number: 3, attempt: 2, pid: 7 }));
        assert_eq!(rank("HOME=/a/home\0RANK=0\0"), Some(Rank { number: 0, attempt: 0, pid: 7 }));
        for other in [
            "",
            "HOME=/a/home\0",
            "HOME=/a/home\0LOCAL_RANK=1\0",
            "HOME=/a/home/b\0RANK=1\0",
            "HOME=/a/home\0RANK=x\0",
        ] {
            assert_eq!(rank(other), None, "{other:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn running_ranks_are_found_and_their_end_is_seen() -> anyhow::Result<()> {
        let place = Place::new()?;
        let start = |number: &str| {
            let mut command = place.command_of(std::path::Path::new("sleep"), "600");
            crate::Running::start("sleep", command.env("RANK", number))
        };
        let (second, first) = (start("1")?, start("0")?);
        let found = running(&place)?;
        let pids: Vec<(usize, u32)> = found.iter().map(|rank| (rank.number, rank.pid)).collect();
        assert_eq!(pids, [(0, first.pid()?), (1, second.pid()?)]);
        assert!(running(&Place::new()?)?.is_empty());

        assert!(!found[1].is_over() && found[1].signal("KILL")?);
        assert_eq!(second.wait()?.signal, Some(9));
        assert!(found[1].is_over() && !found[1].signal("KILL")?);
        assert_eq!(running(&place)?, found[..1]);
        Ok(())
    }
}
