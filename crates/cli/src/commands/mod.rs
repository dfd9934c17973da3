//! The sub-commands, one module each.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod figures;
pub(crate) mod inspect;
pub(crate) mod predict;
pub(crate) mod sample;
mod sampling;
pub(crate) mod train;

use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Runs the command; the exit code of an error is not decided here.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match &cli.command {
        Command::Train(args) => return args.run(global),
        Command::Sample(args) => args.run(global)?,
        Command::Edit(args) => args.run(global)?,
        Command::Figures(args) => args.run(global)?,
        Command::Predict(args) => args.run(global)?,
        Command::Inspect(args) => args.run(global)?,
        Command::Bench(args) => args.run(global)?,
        Command::Doctor(args) => args.run(global)?,
        Command::Completions(args) => args.run()?,
    }
    Ok(ExitCode::SUCCESS)
}
