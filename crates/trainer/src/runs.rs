//! Which folders are runs. A run exists before it has logged a step or saved a checkpoint, so neither is required.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::warn;

use crate::error::TrainerError;

/// A run in a folder of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRun {
    /// Its folder.
    pub path: PathBuf,
    /// Whether it has any checkpoint, valid or not.
    pub has_checkpoint: bool,
}

/// Whether a folder is a run: it has a `config.toml` and a folder `checkpoints`. `xtask` has the same rule.
///
/// # Errors
/// [`TrainerError::File`] when it cannot be determined, for example without permission.
pub fn is_run(folder: &Path) -> Result<bool, TrainerError> {
    Ok(found(&folder.join("config.toml"))?.is_some_and(|config| config.is_file())
        && found(&folder.join("checkpoints"))?.is_some_and(|checkpoints| checkpoints.is_dir()))
}

/// The runs in a folder, newest write first. Entries that cannot be read are skipped with a warning.
#[must_use]
pub fn runs_newest_first(runs: &Path) -> Vec<FoundRun> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!("{}: {error}", runs.display());
            }
            return Vec::new();
        }
    };
    let mut found: Vec<(SystemTime, FoundRun)> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        match is_run(&path) {
            Ok(true) => {
                let saved = checkpoints::list(&path.join("checkpoints"));
                let has_checkpoint = saved.is_ok_and(|saved| !saved.is_empty());
                found.push((written(&path), FoundRun { path, has_checkpoint }));
            }
            Ok(false) => {}
            Err(error) => warn!("skipping {}: {error}", path.display()),
        }
    }
    // Names decide between equal times, as on a file system that has none.
    found.sort_unstable_by(|(a, x), (b, y)| (b, &y.path).cmp(&(a, &x.path)));
    found.into_iter().map(|(_, run)| run).collect()
}

/// When a run was last written to, according to the file system.
fn written(run: &Path) -> SystemTime {
    let times = ["config.toml", "metrics.jsonl", "checkpoints"].iter();
    let times = times.filter_map(|name| fs::metadata(run.join(name)).ok()?.modified().ok());
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn found(path: &Path) -> Result<Option<Metadata>, TrainerError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(TrainerError::file(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_run_exists_before_its_first_line_and_its_first_checkpoint() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(runs_newest_first(&runs.path().join("none")), []);
        for (name, age, saved) in [("old", 60, true), ("new", 5, false), ("middle", 30, true)] {
            let run = runs.path().join(name);
            fs::create_dir_all(run.join("checkpoints")).unwrap();
            if saved {
                fs::create_dir(run.join("checkpoints/step-00000003")).unwrap();
            }
            fs::write(run.join("config.toml"), "").unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            for name in ["config.toml", "checkpoints"] {
                fs::File::open(run.join(name)).unwrap().set_modified(time).unwrap();
            }
            assert!(is_run(&run).unwrap());
        }
        fs::create_dir(runs.path().join("no-run")).unwrap();
        fs::write(runs.path().join("no-run/config.toml"), "").unwrap();
        fs::write(runs.path().join("file"), "").unwrap();
        let names = runs_newest_first(runs.path());
        let names: Vec<_> = names
            .iter()
            .map(|run| (run.path.file_name().unwrap().to_str().unwrap(), run.has_checkpoint))
            .collect();
        assert_eq!(names, [("new", false), ("middle", true), ("old", true)]);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_is_an_error() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(run.path().join("checkpoints")).unwrap();
        std::os::unix::fs::symlink("config.toml", run.path().join("config.toml")).unwrap();
        assert!(is_run(run.path()).unwrap_err().to_string().contains("config.toml"));
    }
}
