//! `cargo xtask gpu-kit`, `gpu-report` and `gpu`: the program on a GPU, checked and measured in minutes.
//!
//! ```text
//! run                 starts kit/main.py (kit/run.sh)
//! kit/                the stages, in Python without packages
//! ddpm, bin/ddpm      the program and its launcher, as in a package
//! tests.zip           the test programs that need a GPU
//! scripts/            times diffusers
//! data/               32-pixel colour images
//! kit.json            commit and version; what the stages go through: presets, objectives, solvers, timed steps
//! licences/, README.txt
//! ```

mod images;
pub(crate) mod kit;
mod page;
mod programs;
pub(crate) mod report;
mod results;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{process, setup};

/// Where `cargo xtask gpu` leaves its results.
const RESULTS: &str = "out/gpu";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kit: kit::Args,
    /// Time for all stages, in minutes.
    #[arg(long, value_name = "N", default_value_t = 25.0)]
    minutes: f64,
    /// Device of the stages: cuda, or cpu to try them.
    #[arg(long, value_name = "DEVICE", default_value = "cuda", value_parser = ["cuda", "cpu"])]
    device: String,
    /// Folder for the results.
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    results: PathBuf,
    /// The page to write.
    #[arg(long, value_name = "FILE.md", default_value = report::PAGE)]
    page: PathBuf,
}

/// Makes the folder, runs its stages and writes the page, also when a stage failed.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    kit::make(workspace, &args.kit)?;
    let mut command = stages(workspace, args);
    let status = process::run(&mut command)?;
    // Without a GPU there are no results of this run.
    if status.code() == Some(0) || has_results(&args.results) {
        report::write(&args.results, &args.page)?;
    }
    Ok(process::code_of(status))
}

fn stages(workspace: &Workspace, args: &Args) -> Command {
    let mut command = Command::new(args.kit.out.join("run"));
    command.arg("--out").arg(&args.results);
    command.args(["--minutes", &args.minutes.to_string(), "--device", &args.device]);
    if setup::libtorch_of_the_user(workspace).is_none() {
        command.env("LD_LIBRARY_PATH", workspace.libtorch().join("torch/lib"));
    }
    command
}

fn has_results(folder: &Path) -> bool {
    folder.join(results::FILE).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_stages_get_the_flags() {
        let line = ["xtask", "gpu", "--out", "k", "--results", "r", "--minutes", "3.5", "--device", "cpu"];
        let crate::Command::Gpu(args) = crate::Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        let command = stages(&Workspace::find().unwrap(), &args);
        assert_eq!(process::line_of(&command), "run --out r --minutes 3.5 --device cpu");
        assert_eq!(args.page, Path::new(report::PAGE));
        assert!(crate::Cli::try_parse_from(["xtask", "gpu", "--device", "tpu"]).is_err());
    }
}
