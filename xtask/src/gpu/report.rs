//! `cargo xtask gpu-report`: the results of a run as a page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::page;
use super::results::Results;
use crate::outputs;
use crate::workspace::Workspace;

/// The page of this project.
pub(super) const PAGE: &str = "docs/gpu.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of `./run --out`.
    results: PathBuf,
    /// The page to write.
    #[arg(long, value_name = "FILE.md", default_value = PAGE)]
    out: PathBuf,
}

pub(crate) fn run(_workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    write(&args.results, &args.out)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a folder with results. Without results there is no page.
pub(super) fn write(results: &Path, out: &Path) -> anyhow::Result<()> {
    let results = Results::read(results)?;
    outputs::try_all(&[("--out", Some(out))])?;
    outputs::write(out, &page::markdown(&results))?;
    println!("gpu-report: {}", out.display());
    Ok(())
}
