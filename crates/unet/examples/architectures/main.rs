//! Prints the errors of our network's predictions against UNet2DModel: `cargo xtask parity --models`.
//!
//! The numbers are those that the test `unet2d` checks.

#[path = "../../tests/unet2d/replay.rs"]
mod replay;
#[path = "../../tests/unet2d/rule.rs"]
mod rule;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let rows = replay::all()?;
    io::stdout().write_all(replay::table(&rows).as_bytes())?;
    Ok(if rows.iter().all(replay::Row::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
