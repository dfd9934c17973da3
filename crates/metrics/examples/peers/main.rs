//! Prints every metric next to those of the Python packages: `cargo xtask parity --metrics`.
//!
//! The numbers are those of the test of the same name, which asserts what this prints.

#[path = "../../tests/parity/replay.rs"]
mod replay;
#[path = "../../tests/parity/rule.rs"]
mod rule;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let rows = replay::all()?;
    io::stdout().write_all(replay::table(&rows).as_bytes())?;
    Ok(if rows.iter().all(replay::Row::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
