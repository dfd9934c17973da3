//! Prints what each bomb costs, one JSON line each: `cargo run -p fuzz-bodies --example bombs`. Exits with 1 when a
//! bomb takes too long or too much memory, or is accepted.
#![allow(clippy::print_stdout, reason = "printing lines is its purpose")]

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use fuzz_bodies::bombs::{self, Cost, IDLE, MAX_MIB, MAX_SECONDS};
use serde_json::json;

fn main() -> anyhow::Result<ExitCode> {
    // The child: gets a name and a path to open.
    if let [_, name, path] = &env::args().collect::<Vec<_>>()[..] {
        let line =
            bombs::serve(name, Path::new(path)).with_context(|| format!("there is no bomb named {name}"))?;
        print!("{line}");
        return Ok(ExitCode::SUCCESS);
    }
    let folder = tempfile::tempdir()?;
    let idle = child(IDLE, folder.path())?.peak_mib;
    let mut sound = true;
    for bomb in bombs::all() {
        let path = folder.path().join(bomb.name);
        (bomb.plant)(&path).with_context(|| format!("cannot plant {}", bomb.name))?;
        let cost = child(bomb.name, &path);
        let line = match &cost {
            Err(error) => json!({ "name": bomb.name, "died": format!("{error:#}") }),
            Ok(cost) => json!({
                "name": bomb.name,
                "error": cost.error,
                "seconds": (cost.seconds * 1e4).round() / 1e4,
                "peak_mib_above_idle": above(cost, idle).map(|mib| (mib * 10.0).round() / 10.0),
            }),
        };
        println!("{line}");
        sound &= cost.is_ok_and(|cost| passes(&cost, idle));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn child(name: &str, path: &Path) -> anyhow::Result<Cost> {
    let program = env::current_exe().context("cannot find this program")?;
    Ok(bombs::measure(Command::new(program).arg(name).arg(path))?)
}

fn above(cost: &Cost, idle: Option<f64>) -> Option<f64> {
    Some(cost.peak_mib? - idle?)
}

fn passes(cost: &Cost, idle: Option<f64>) -> bool {
    cost.error.is_some() && cost.seconds < MAX_SECONDS && above(cost, idle).is_none_or(|mib| mib < MAX_MIB)
}
