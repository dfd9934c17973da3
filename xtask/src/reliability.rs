//! `cargo xtask reliability`: builds the program, builds it again with injectable faults, and runs the harness of the
//! member `tests` on both.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::Context;

use crate::workspace::{Workspace, target_folder};
use crate::{outputs, process, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Few trials of everything, in minutes (the default).
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// As many trials as for the published figures, with an optimised program: hours.
    #[arg(long)]
    full: bool,
    /// Only these checks.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these fuzz targets in a full run, such as those that an earlier run failed.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    targets: Vec<String>,
    /// Seed of all random choices [default: 0].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Trials at the same time [default: one per core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Write the table as Markdown, with the machine and what each row means.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Write the rows as JSON.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Rows of earlier runs, as written by --json, for a table made in parts.
    #[arg(long, value_name = "FILE.json,...", value_delimiter = ',')]
    with: Vec<PathBuf>,
    /// Refuses to change Cargo.lock.
    #[arg(long)]
    locked: bool,
}

/// The exit code is 1 when a check fails.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    outputs::try_all(&[("--out", args.out.as_deref()), ("--json", args.json.as_deref())])?;
    setup::ensure(workspace)?;
    let programs = build(workspace, args)?;
    Ok(process::code_of(process::run(&mut harness(workspace, args, &programs, None))?))
}

/// The quick run, as the last step of the tests; `bad_input` is the folder with that test's reports.
pub(crate) fn quick(workspace: &Workspace, locked: bool, bad_input: &Path) -> anyhow::Result<()> {
    let args = Args { locked, ..Args::default() };
    let programs = build(workspace, &args)?;
    process::run_to_success_or_quote(&mut harness(workspace, &args, &programs, Some(bad_input)))
}

/// The checks that need the program with faults.
const WITH_FAULTS: [&str; 3] = ["exports", "faults", "nan"];

/// The programs that the harness runs, and the harness.
struct Programs {
    harness: PathBuf,
    ddpm: PathBuf,
    faulty: PathBuf,
}

/// Both programs have the same path in the build folder, so the one with faults is copied away. Its objects stay in the
/// build folder, so the next build only links.
fn build(workspace: &Workspace, args: &Args) -> anyhow::Result<Programs> {
    let target = target_folder()?;
    let folder = target.join(if args.full { "release" } else { "debug" });
    let file = |name: &str| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let mut programs = Programs {
        harness: target.join(format!("debug/reliability{}", env::consts::EXE_SUFFIX)),
        ddpm: file("ddpm"),
        faulty: file("ddpm-faults"),
    };
    let faulty = |name: &String| WITH_FAULTS.contains(&name.as_str());
    if args.only.is_empty() || args.only.iter().any(faulty) {
        process::run_to_success(&mut cargo_build_faulty(workspace, args))?;
        fs::copy(&programs.ddpm, &programs.faulty)
            .with_context(|| format!("{} cannot be copied", programs.ddpm.display()))?;
    } else {
        // No check of this run needs a fault.
        programs.faulty.clone_from(&programs.ddpm);
    }
    process::run_to_success(&mut cargo_build(workspace, args, &[]))?;
    process::run_to_success(&mut cargo_build_harness(workspace, args))?;
    Ok(programs)
}

/// With faults, all crates above `files` are compiled again, so a quick run does not optimise them.
fn cargo_build_faulty(workspace: &Workspace, args: &Args) -> Command {
    let mut cargo = cargo_build(workspace, args, &["--features", "faults"]);
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    cargo
}

/// Beside the program, so that both have the same dependencies.
fn cargo_build_harness(workspace: &Workspace, args: &Args) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.args(["build", "--quiet", "--package", "tests", "--package", "cli", "--bin", "reliability"]);
    cargo.args(locked(args)).current_dir(workspace.root());
    cargo
}

fn cargo_build(workspace: &Workspace, args: &Args, features: &[&str]) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.args(["build", "--quiet", "--package", "cli"]).args(features).args(locked(args));
    if args.full {
        cargo.arg("--release");
    }
    cargo.current_dir(workspace.root());
    cargo
}

fn locked(args: &Args) -> &'static [&'static str] {
    if args.locked { &["--locked"] } else { &[] }
}

/// The harness, started in the caller's folder, so that relative paths keep their meaning.
fn harness(workspace: &Workspace, args: &Args, programs: &Programs, bad_input: Option<&Path>) -> Command {
    let mut command = process::cleaned(Command::new(&programs.harness), workspace);
    command.arg("--ddpm").arg(&programs.ddpm).arg("--faulty").arg(&programs.faulty);
    command.arg("--workspace").arg(workspace.root()).arg(if args.full { "--full" } else { "--quick" });
    for (flag, names) in [("--only", &args.only), ("--targets", &args.targets)] {
        if !names.is_empty() {
            command.arg(flag).arg(names.join(","));
        }
    }
    for (flag, number) in [("--seed", args.seed), ("--jobs", args.jobs.map(|jobs| jobs as u64))] {
        command.args(number.map(|number| format!("{flag}={number}")));
    }
    for (flag, path) in [("--out", &args.out), ("--json", &args.json)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    for path in &args.with {
        command.arg("--with").arg(path);
    }
    if let Some(folder) = bad_input {
        command.arg("--bad-input").arg(folder);
    }
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_reaches_the_harness() {
        let workspace = Workspace::find().unwrap();
        let args = Args {
            full: true,
            only: vec!["kills".into(), "pairs".into()],
            seed: Some(7),
            out: Some("docs/reliability.md".into()),
            ..Args::default()
        };
        let programs = Programs { harness: "h".into(), ddpm: "d".into(), faulty: "f".into() };
        let line = words(&harness(&workspace, &args, &programs, None)).join(" ");
        for part in
            ["--ddpm d --faulty f", "--full", "--only kills,pairs", "--seed=7", "--out docs/reliability.md"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        let line = words(&harness(&workspace, &Args::default(), &programs, Some("r".as_ref()))).join(" ");
        assert!(line.ends_with("--quick --bad-input r"), "{line}");
    }

    #[test]
    fn the_full_run_has_an_optimised_program() {
        let workspace = Workspace::find().unwrap();
        let full = Args { full: true, ..Args::default() };
        let build = cargo_build_faulty(&workspace, &full);
        assert_eq!(words(&build)[1..], ["--quiet", "--package", "cli", "--features", "faults", "--release"]);
        assert!(!words(&cargo_build(&workspace, &Args::default(), &[])).contains(&"--release".to_owned()));
    }

    #[test]
    fn the_harness_is_built_beside_the_program() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, ..Args::default() };
        let line = words(&cargo_build_harness(&workspace, &args)).join(" ");
        assert_eq!(line, "build --quiet --package tests --package cli --bin reliability --locked");
    }

    #[test]
    fn the_harness_is_there() {
        let root = Workspace::find().unwrap().root().join("tests/src/bin/reliability");
        assert!(root.join("main.rs").is_file() && root.join("checks").is_dir());
        for entry in fs::read_dir(root.join("checks")).unwrap() {
            let path = entry.unwrap().path();
            let needs = fs::read_to_string(&path).is_ok_and(|text| text.contains("context.faulty()"));
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(needs, WITH_FAULTS.contains(&name), "{name}");
        }
    }
}
