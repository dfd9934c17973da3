//! Prints how far every solver's samples are from those of diffusers: `cargo xtask parity`.
//!
//! The runs are those of the test of the same name, which asserts what this prints.

#[path = "../../tests/parity/replay/mod.rs"]
mod replay;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let table = replay::all()?;
    io::stdout().write_all(table.text().as_bytes())?;
    Ok(if table.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
