//! Prints how far our images of models with diffusers schedulers are from those of diffusers: the second half of `cargo
//! xtask parity --models`. Build the program first.
#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::process::ExitCode;

use tests::{Place, pipelines};

fn main() -> anyhow::Result<ExitCode> {
    let rows = pipelines::all(&Place::new()?)?;
    print!("{}", pipelines::table(&rows));
    Ok(if rows.iter().all(|row| row.error <= pipelines::LIMIT) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
