//! `cargo xtask sample`: draws images from a trained model.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    ddpm::run(workspace, "sample", args)
}
