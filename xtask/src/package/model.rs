//! The model of a package: a checkpoint of a run, with averaged weights, configuration and hashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::runs;

/// The newest valid checkpoint of the most recently written run in `runs` that has one.
pub(super) fn newest(program: &Path, folder: &Path) -> Option<PathBuf> {
    runs::newest_first(folder).into_iter().find_map(|run| newest_of(program, &run).ok())
}

/// The newest checkpoint of a run that the program verifies.
pub(super) fn newest_of(program: &Path, run: &Path) -> anyhow::Result<PathBuf> {
    let mut all = children(&run.join("checkpoints"));
    // Step numbers have a fixed width, so names sort by step.
    all.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")));
    all.sort();
    for checkpoint in all.iter().rev() {
        if is_sound(program, checkpoint)? {
            return Ok(checkpoint.clone());
        }
        eprintln!("skipping {}, which is damaged", checkpoint.display());
    }
    bail!("--run {}: expected a run with a sound checkpoint, found {} that are not", run.display(), all.len())
}

/// The program's exit code for a file that cannot be read, which need not be damaged.
const UNREADABLE: i32 = 6;

/// Whether the program can read and verify the checkpoint.
fn is_sound(program: &Path, checkpoint: &Path) -> anyhow::Result<bool> {
    let mut inspect = Command::new(program);
    inspect.args(["inspect", "checkpoint", "--quiet"]).arg(checkpoint).stdin(Stdio::null());
    let output = inspect.output().with_context(|| format!("{} cannot be started", program.display()))?;
    if output.status.code() == Some(UNREADABLE) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    Ok(output.status.success())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::runs::tests::run_of_age;
    use std::os::unix::fs::PermissionsExt;

    /// A fake program that accepts a checkpoint if it holds a file named `sound`.
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
            run_of_age(run, age);
        }
        assert_eq!(newest(&program, &runs), Some(want));
        let error = newest_of(&program, &empty).unwrap_err().to_string();
        assert!(error.contains("b-empty") && error.contains("sound checkpoint"), "{error}");
    }
}
