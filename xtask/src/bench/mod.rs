//! `cargo xtask bench`: times training steps, sampling steps and solvers with the optimised build; all three without
//! arguments. `--peers` compares with the Python libraries; `--scaling` measures how a training step grows; `--ranks`
//! what several processes cost.

mod fit;
mod markdown;
mod peers;
mod programs;
mod ranks;
mod rounds;
mod rows;
mod scaling;
mod table;
mod venv;
mod whole;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) use rounds::{median, object};

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    if args.iter().any(|arg| arg == "--peers") {
        let name = OsString::from("cargo xtask bench");
        return peers::run(workspace, &peers::Args::parse_from(std::iter::once(&name).chain(args)));
    }
    if args.iter().any(|arg| arg == "--scaling") {
        let name = OsString::from("cargo xtask bench");
        return scaling::run(workspace, &scaling::Args::parse_from(std::iter::once(&name).chain(args)));
    }
    if args.iter().any(|arg| arg == "--ranks") {
        let name = OsString::from("cargo xtask bench");
        return ranks::run(workspace, &ranks::Args::parse_from(std::iter::once(&name).chain(args)));
    }
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
