//! Runs the `ddpm` program: setup where needed, an optimised build, then the command with its arguments.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::workspace::Workspace;
use crate::{process, setup};

/// `ddpm COMMAND ARGS` in the caller's folder, so that relative paths mean what they say. The program
/// prints its own errors; only its exit code is passed on.
pub(crate) fn run(workspace: &Workspace, command: &str, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    let mut cargo = process::cargo(workspace);
    cargo.args(["run", "--release", "--package", "cli", "--bin", "ddpm", "--", command]).args(args);
    Ok(process::code_of(process::run_to_its_end(&mut cargo)?))
}
