//! Which folders are runs of `ddpm`: the rule of `trainer::is_run`, which xtask does not link.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// When a run was last written; `None` for a folder that is not a run.
pub(crate) fn changed(run: &Path) -> Option<SystemTime> {
    if !run.join("config.toml").is_file() || !run.join("checkpoints").is_dir() {
        return None;
    }
    // A run exists before its first log line.
    let times = ["config.toml", "metrics.jsonl", "checkpoints"].iter();
    let times = times.filter_map(|name| fs::metadata(run.join(name)).ok()?.modified().ok());
    Some(times.max().unwrap_or(SystemTime::UNIX_EPOCH))
}

/// The runs in a folder, the most recently written first.
pub(crate) fn newest_first(runs: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter_map(|run| Some((changed(&run)?, run))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, run)| run).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// A run that was last written this many seconds ago.
    pub(crate) fn run_of_age(run: &Path, age: u64) {
        fs::create_dir_all(run.join("checkpoints")).unwrap();
        fs::write(run.join("config.toml"), "").unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        for name in ["config.toml", "checkpoints"] {
            fs::File::open(run.join(name)).unwrap().set_modified(time).unwrap();
        }
    }

    #[test]
    fn a_run_is_known_by_its_configuration() {
        let runs = tempfile::tempdir().unwrap();
        let at = |name: &str| runs.path().join(name);
        [("old", 60), ("new", 5), ("middle", 30)].iter().for_each(|(name, age)| run_of_age(&at(name), *age));
        fs::create_dir(at("no-run")).unwrap();
        fs::write(at("no-run/metrics.jsonl"), "").unwrap();
        assert_eq!(newest_first(runs.path()), [at("new"), at("middle"), at("old")]);
        // A new log line makes it the newest.
        fs::write(at("old/metrics.jsonl"), "").unwrap();
        assert_eq!(newest_first(runs.path())[0], at("old"));
        assert_eq!(newest_first(&at("none")), [] as [PathBuf; 0]);
    }
}
