//! `cargo xtask train`: from a fresh clone to a trained model, and where to find it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use crate::ddpm;
use crate::runs;
use crate::workspace::Workspace;

/// The folder of runs unless `--run` names another, relative to the caller's folder.
const RUNS: &str = "runs";

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let start = SystemTime::now();
    let code = ddpm::run(workspace, "train", args)?;
    if code == ExitCode::SUCCESS
        && let Some(run) = run_folder(args, Path::new(RUNS))
        // `ddpm train --help` and the like do not touch a run.
        && runs::changed(&run).is_some_and(|time| time >= start)
    {
        println!("run:     {}", run.display());
        if let Some(grid) = newest_grid(&run.join("samples")) {
            println!("samples: {}", grid.display());
        }
    }
    Ok(code)
}

/// The folder after `--run`, or the most recently written run.
fn run_folder(args: &[OsString], runs: &Path) -> Option<PathBuf> {
    let mut words = args.iter();
    let mut named = None;
    while let Some(word) = words.next() {
        if word == "--run" {
            named = words.next().map(PathBuf::from);
        } else if let Some(folder) = word.to_str().and_then(|word| word.strip_prefix("--run=")) {
            named = Some(PathBuf::from(folder));
        }
    }
    named.or_else(|| runs::newest_first(runs).into_iter().next())
}

/// The newest picture of samples; those of the averaged weights first.
fn newest_grid(samples: &Path) -> Option<PathBuf> {
    let is_png = |path: &PathBuf| path.extension() == Some(OsStr::new("png"));
    let of_average = |path: &Path| path.to_string_lossy().contains("ema");
    let written = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    children(samples)
        .into_iter()
        .filter(is_png)
        .max_by_key(|path| (of_average(path), written(path), path.clone()))
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::run_of_age;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_run_is_the_one_named_last() {
        let none = Path::new("no-such-folder");
        assert_eq!(run_folder(&words("--steps 3 --run a"), none), Some("a".into()));
        assert_eq!(run_folder(&words("--run a --run=b/c -v"), none), Some("b/c".into()));
        assert_eq!(run_folder(&words("--running a --run"), none), None);
    }

    #[test]
    fn without_a_name_it_is_the_run_that_was_written_to_last() {
        let runs = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 60), ("new", 5), ("middle", 30)] {
            run_of_age(&runs.path().join(name), age);
        }
        fs::create_dir(runs.path().join("no-run")).unwrap();
        assert_eq!(run_folder(&[], runs.path()), Some(runs.path().join("new")));
    }

    #[test]
    fn the_grid_of_the_averaged_weights_wins() {
        let samples = tempfile::tempdir().unwrap();
        for name in ["step-10-ema.png", "step-20-raw.png", "notes.txt"] {
            fs::write(samples.path().join(name), "").unwrap();
        }
        assert_eq!(newest_grid(samples.path()), Some(samples.path().join("step-10-ema.png")));
        assert_eq!(newest_grid(&samples.path().join("none")), None);
    }
}
