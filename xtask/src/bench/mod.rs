//! `cargo xtask bench`: times training steps, sampling steps and solvers, optimised build; all three without arguments.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    if !args.is_empty() {
        return ddpm::run(workspace, "bench", args);
    }
    for what in ["train", "sample", "solvers"] {
        let code = ddpm::run(workspace, "bench", &[what.into()])?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}
