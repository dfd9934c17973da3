//! The end-to-end tests, with one test program per processor at a time, each of which runs one test at a time. Cargo
//! alone runs one program after the other, and those with a single long test use a single processor.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::beside::{processors, side_by_side};
use super::commands::Run;
use crate::process;

/// These start first, so that none of them is left to run alone at the end.
const LONG: [&str; 7] = ["bad_input", "ranks", "resume", "objectives", "help", "gpu_kit", "finetune"];

/// The tests inside the library and the programs of the member. `ddpm`, which is named too, has none of these.
const OWN: [&str; 5] = ["--lib", "--bin", "reliability", "--bin", "screenshots"];

/// Runs all; fails when one of them fails. They leave reports for the last step in `reports`.
pub(super) fn run(run: &Run<'_>, reports: &Path) -> anyhow::Result<()> {
    if reports.exists() {
        fs::remove_dir_all(reports).with_context(|| reports.display().to_string())?;
    }
    fs::create_dir_all(reports).with_context(|| reports.display().to_string())?;
    // The first call builds all programs, so the later ones do not wait for each other.
    process::run_to_success(run.end_to_end().args(OWN).args(["--test", "*", "--no-run"]))?;
    process::run_to_success(run.end_to_end().args(OWN))?;

    let names = programs(&run.workspace.root().join("tests/tests"))?;
    let ended = side_by_side(names, processors(), |name| {
        let passed = passes(&name, &mut command(run, &name, reports));
        passed.err().map(|how| (name, how))
    });
    let failed: Vec<(String, String)> = ended.into_iter().flatten().collect();
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    let how: String = failed.iter().map(|(name, how)| format!("\n\n{name}:\n{how}")).collect();
    ensure!(
        names.is_empty(),
        "expected all test programs to pass, found failures in {}{how}",
        names.join(", ")
    );
    Ok(())
}

/// The names of the test programs, as cargo finds them: files, and folders with a `main.rs`.
fn programs(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        let is_program =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        if let (true, Some(name)) = (is_program, path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    let rank = |name: &String| LONG.iter().position(|long| long == name).unwrap_or(LONG.len());
    names.sort_by_key(|name| (rank(name), name.clone()));
    Ok(names)
}

fn command(run: &Run<'_>, name: &str, reports: &Path) -> Command {
    let mut cargo = run.end_to_end();
    cargo.args(["--test", name, "--", "--test-threads", "1"]).env("DDPM_BAD_INPUT_REPORT", reports);
    cargo
}

/// Runs one program and prints what it printed, in one piece. The error is what a failed test printed.
fn passes(name: &str, command: &mut Command) -> Result<(), String> {
    let begun = Instant::now();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("\n{name}: cannot be started: {error}");
            return Err(format!("cannot be started: {error}"));
        }
    };
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        said += &String::from_utf8_lossy(&output.stderr);
    }
    println!("\n{name} ({:.0} s)\n{}", begun.elapsed().as_secs_f64(), said.trim());
    if output.status.success() {
        return Ok(());
    }
    // The test harness lists the tests first, and then what the failed ones printed.
    Err(said.split_once("\nfailures:\n").map_or(said.trim(), |(_, failures)| failures.trim()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;
    use crate::workspace::Workspace;
    use std::ffi::OsStr;

    #[test]
    fn long_programs_come_first_and_none_is_left_out() {
        let folder = Workspace::find().unwrap().root().join("tests/tests");
        let names = programs(&folder).unwrap();
        assert!(names.iter().zip(LONG).all(|(name, long)| name == long), "{names:?}");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        for entry in entries {
            let stem = entry.to_string_lossy().trim_end_matches(".rs").to_owned();
            assert_eq!(names.iter().filter(|name| **name == stem).count(), 1, "{stem}");
        }
    }

    #[test]
    fn the_programs_of_the_member_are_tested() {
        let folder = Workspace::find().unwrap().root().join("tests/src/bin");
        let mut names = programs(&folder).unwrap();
        names.sort();
        assert_eq!(names, [OWN[2], OWN[4]]);
    }

    #[test]
    fn a_program_runs_one_test_at_a_time() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        let command = command(&run, "resume", Path::new("reports"));
        let line = process::line_of(&command);
        assert!(line.ends_with("test --locked -p tests -p cli --test resume -- --test-threads 1"), "{line}");
        let mut set = command.get_envs().filter(|(name, _)| *name == "DDPM_BAD_INPUT_REPORT");
        assert_eq!(set.next().and_then(|(_, value)| value), Some(OsStr::new("reports")));
    }

    #[test]
    fn a_failed_program_is_noticed() {
        assert_eq!(passes("good", Command::new("sh").args(["-c", "echo 1 passed"])), Ok(()));
        let script = "printf 'test a ... FAILED\n\nfailures:\n\na: no such panel\n'; exit 101";
        assert_eq!(
            passes("bad", Command::new("sh").args(["-c", script])),
            Err(String::from("a: no such panel"))
        );
        assert!(passes("none", &mut Command::new("/no/such-program")).is_err());
    }
}
