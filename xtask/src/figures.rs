//! `cargo xtask figures`: redraws the figures and the report.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    ddpm::run(workspace, "figures", args)
}
