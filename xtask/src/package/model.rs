//! The model of a package: a checkpoint of a run, which holds the averaged weights and the configuration, and hashes of all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail};

/// The newest sound checkpoint of the run in `runs` that logged last, of those that have one.
pub(super) fn newest(program: &Path, runs: &Path) -> Option<PathBuf> {
    let logged = |run: &PathBuf| -> Option<SystemTime> {
        fs::metadata(run.join("metrics.jsonl")).ok()?.modified().ok()
    };
    let mut all: Vec<_> = children(runs).into_iter().filter_map(|run| Some((logged(&run)?, run))).collect();
    all.sort();
    all.into_iter().rev().find_map(|(_, run)| newest_of(program, &run).ok())
}

/// The newest checkpoint of a run that the program finds sound.
pub(super) fn newest_of(program: &Path, run: &Path) -> anyhow::Result<PathBuf> {
    let mut all = children(&run.join("checkpoints"));
    // Numbers have as many digits, so names sort as they do.
    all.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")));
    all.sort();
    for checkpoint in all.iter().rev() {
        if is_sound(program, checkpoint)? {
            return Ok(checkpoint.clone());
        }
        eprintln!("passing over {}, which is not sound", checkpoint.display());
    }
    bail!("--run {}: expected a run with a sound checkpoint, found {} that are not", run.display(), all.len())
}

/// Reads and hashes all of it.
fn is_sound(program: &Path, checkpoint: &Path) -> anyhow::Result<bool> {
    let mut inspect = Command::new(program);
    inspect.args(["inspect", "checkpoint", "--quiet"]).arg(checkpoint).stdin(Stdio::null());
    let output = inspect.output().with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(output.status.success())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    /// A program that finds a checkpoint sound when it holds a file of that name.
    fn program(folder: &Path) -> PathBuf {
        let path = folder.join("program");
        fs::write(&path, "#!/bin/sh\nfor last; do :; done\n[ -f \"$last/sound\" ]\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn checkpoint(run: &Path, name: &str, sound: bool) -> PathBuf {
        let path = run.join("checkpoints").join(name);
        fs::create_dir_all(&path).unwrap();
        if sound {
            fs::write(path.join("sound"), "").unwrap();
        }
        path
    }

    fn log(run: &Path, age: u64) {
        let file = fs::File::create(run.join("metrics.jsonl")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }

    #[test]
    fn the_newest_sound_checkpoint_of_the_newest_run_that_has_one() {
        let home = tempfile::tempdir().unwrap();
        let program = program(home.path());
        let runs = home.path().join("runs");
        assert_eq!(newest(&program, &runs), None);
        let (old, new, empty) = (runs.join("z-old"), runs.join("a-new"), runs.join("b-empty"));
        checkpoint(&old, "step-00000900", true);
        let want = checkpoint(&new, "step-00000010", true);
        checkpoint(&new, "step-00000009", true);
        checkpoint(&new, "step-00000011", false);
        checkpoint(&new, ".tmp-1-step-00000012", true);
        fs::create_dir_all(&empty).unwrap();
        for (run, age) in [(&old, 60), (&new, 5), (&empty, 1)] {
            log(run, age);
        }
        assert_eq!(newest(&program, &runs), Some(want));
        let error = newest_of(&program, &empty).unwrap_err().to_string();
        assert!(error.contains("b-empty") && error.contains("sound checkpoint"), "{error}");
    }
}
