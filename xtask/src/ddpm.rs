//! Runs the `ddpm` program: setup if needed, an optimised build, then the command with its arguments.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::workspace::{Workspace, target_folder};
use crate::{process, setup};

/// Runs `ddpm COMMAND ARGS` in the caller's folder, so that relative paths keep their meaning. The program prints its
/// own errors; only its exit code is passed on.
pub(crate) fn run(workspace: &Workspace, command: &str, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    let mut cargo = process::cargo(workspace);
    cargo.args(["run", "--release", "--package", "cli", "--bin", "ddpm", "--", command]).args(args);
    Ok(process::code_of(process::run_to_its_end(&mut cargo)?))
}

/// Builds the program in the test profile, where the tests look for it. By then its dependencies are built.
pub(crate) fn of_tests(workspace: &Workspace, flags: &[&str]) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.arg("build").args(flags).args(["-p", "cli"]).current_dir(workspace.root());
    cargo
}

/// Builds the optimised program, for commands that start it many times or need the file.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build_with(workspace, &[])
}

/// The same without the shipped model in it, which may not exist yet.
pub(crate) fn build_without_model(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build_with(workspace, &["--no-default-features"])
}

fn build_with(workspace: &Workspace, flags: &[&str]) -> anyhow::Result<PathBuf> {
    setup::ensure(workspace)?;
    let mut cargo = process::cargo(workspace);
    cargo
        .args(["build", "--quiet", "--release", "--package", "cli"])
        .args(flags)
        .current_dir(workspace.root());
    process::run_to_success(&mut cargo)?;
    Ok(target_folder()?.join("release").join(format!("ddpm{}", env::consts::EXE_SUFFIX)))
}
