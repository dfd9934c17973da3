//! `cargo xtask bench`: times training and sampling steps, optimised build; both without arguments.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    if !args.is_empty() {
        return ddpm::run(workspace, "bench", args);
    }
    let trained = ddpm::run(workspace, "bench", &["train".into()])?;
    if trained != ExitCode::SUCCESS {
        return Ok(trained);
    }
    ddpm::run(workspace, "bench", &["sample".into()])
}
