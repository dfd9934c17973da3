//! Prints how far images of models with schedulers of the library diffusers are from the library's: the second half of
//! `cargo xtask parity --models`. The program has to be built.
#![allow(clippy::print_stdout, reason = "a program that talks to people")]

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
