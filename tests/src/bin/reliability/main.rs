//! The harness behind `cargo xtask reliability`. It exposes the built program to kills, signals, full disks, damaged
//! files and wrong values, and prints one table of what it survived.
//!
//! Each check is a file of `checks`. A check without trials fails, unless it says why this machine cannot try it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod checks;
mod context;
mod draws;
mod earlier;
mod example;
mod machine;
mod namespaces;
mod outcome;
mod report;
mod training;
mod trials;
mod weights;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

use crate::checks::CHECKS;
use crate::context::Context;
use crate::machine::Machine;
use crate::outcome::{Check, Row};

/// What to run, and with which programs.
#[derive(Debug, Parser)]
#[command(
    name = "reliability",
    about = "Kills, signals, faults, damage: what the program survives, as a table"
)]
struct Args {
    /// The program
    #[arg(long, value_name = "PATH")]
    ddpm: PathBuf,
    /// The program built with the feature `faults`; checks that need it fail without it
    #[arg(long, value_name = "PATH")]
    faulty: Option<PathBuf>,
    /// The root of the workspace, for checks that are programs of other crates
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// A folder with a fresh report of the test `bad_input`, instead of running it again
    #[arg(long, value_name = "DIR")]
    bad_input: Option<PathBuf>,
    /// Few trials of everything, in minutes (the default)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// As many trials as for the published figures: hours
    #[arg(long)]
    full: bool,
    /// Only these checks
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these fuzz targets in a full run, such as those that an earlier run failed
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    targets: Vec<String>,
    /// Seed of all random choices: moments, places, signals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Trials at the same time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Write the table with the machine and the meaning of each row as Markdown
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Rows of earlier runs, for a table made in parts
    #[arg(long, value_name = "FILE.json,...", value_delimiter = ',')]
    with: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", files::printable(&format!("{error:#}")));
            ExitCode::from(2)
        }
    }
}

/// As Linux reports it: a mask whose lowest bit is SIGHUP.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Whether no check failed.
fn run(args: &Args) -> anyhow::Result<bool> {
    // A shell's background processes ignore SIGINT, and their children would too. A handler is not inherited, so with
    // one the children start with the default.
    let always = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 130, always)?;
    // The same for SIGHUP under `nohup`. The handler does nothing, so a hangup does not end this program either.
    if ignores_hangup() {
        let _ = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default())?;
    }
    let chosen = chosen(&args.only)?;
    // Check before hours of work.
    for (flag, path) in [("--out", &args.out), ("--json", &args.json)] {
        if let Some(path) = path {
            files::try_output(path).with_context(|| format!("{flag} {}", path.display()))?;
        }
    }
    let context = Context {
        ddpm: absolute("--ddpm", &args.ddpm)?,
        faulty: args.faulty.as_deref().map(|path| absolute("--faulty", path)).transpose()?,
        workspace: absolute("--workspace", &args.workspace)?,
        bad_input: args.bad_input.as_deref().map(|path| absolute("--bad-input", path)).transpose()?,
        full: args.full,
        seed: args.seed,
        targets: args.targets.clone(),
        jobs: args.jobs.unwrap_or_else(machine::cores).max(1),
    };
    let mut rows = Vec::new();
    for check in chosen {
        println!("\n==> {}: {}", check.name, check.goal);
        let begun = Instant::now();
        let row = Row::new(check, (check.run)(&context));
        for complaint in row.outcome.complaints.iter().take(10) {
            println!("    {}", files::printable(complaint));
        }
        println!("    {} ({:.0} s)", files::printable(&row.line()), begun.elapsed().as_secs_f64());
        rows.push(row);
    }
    let machine = Machine::this(&context)?;
    for path in &args.with {
        rows = earlier::add(path, rows, &machine, &context)?;
    }
    println!("\n{}", report::table(&rows));
    let write = |path: &Path, text: String| {
        files::write_output(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &args.out {
        write(path, report::markdown(&rows, &machine, &context))?;
    }
    if let Some(path) = &args.json {
        write(path, format!("{:#}\n", report::json(&rows, &machine, &context)))?;
    }
    Ok(!rows.iter().any(Row::failed))
}

/// The named checks in table order; all if none is named.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Check>> {
    let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("--only {unknown}: expected one or more of {}, found no such check", names.join(", "));
    }
    let wanted = |check: &&&Check| only.is_empty() || only.iter().any(|name| name == check.name);
    Ok(CHECKS.iter().filter(wanted).copied().collect())
}

/// Makes a path absolute, since the trials run in their own folders.
fn absolute(flag: &str, path: &Path) -> anyhow::Result<PathBuf> {
    ensure!(path.exists(), "{flag} {}: expected an existing path, found nothing", path.display());
    path.canonicalize().with_context(|| format!("{flag} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_chosen_by_name_and_run_in_order() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            chosen(&only).map(|checks| checks.iter().map(|check| check.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["pairs", "kills"]).unwrap(), ["kills", "pairs"]);
        assert_eq!(names(&[]).unwrap().len(), CHECKS.len());
        assert!(names(&["kils"]).unwrap_err().to_string().contains("kills, resume"));
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
