//! `cargo xtask`: whole pipelines, from an empty machine to libtorch, a trained model, figures and a tested tree.
//!
//! Of the workspace's crates it links only `files`, so it builds and starts in seconds; what needs the others runs
//! through `cargo run -p cli`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line program.

mod ablate;
mod bench;
mod browser;
mod check;
mod child;
mod ci;
mod ddpm;
mod draws;
mod examples;
mod figures;
mod finetune;
mod gpu;
mod isa;
mod isolation;
mod json_file;
mod machine;
mod metric;
mod objectives;
mod outputs;
mod outside;
mod package;
mod parity;
mod process;
mod recipe;
mod reliability;
mod run_log;
mod runs;
mod sample;
mod sanitize;
mod setup;
mod ship;
mod stream_demo;
mod test;
mod train;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::Exit;
use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "Whole pipelines, from setup to figures")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Provides libtorch 2.11.0 in .libtorch/, unless one is already configured.
    Setup(setup::Args),
    /// Sets up, builds and trains; every argument goes to `ddpm train`.
    #[command(disable_help_flag = true)]
    Train(Passed),
    /// Sets up, builds and draws images; every argument goes to `ddpm sample`.
    #[command(disable_help_flag = true)]
    Sample(Passed),
    /// Sets up, builds and redraws the report; every argument goes to `ddpm figures`.
    #[command(disable_help_flag = true)]
    Figures(Passed),
    /// Sets up, builds and times steps; every argument goes to `ddpm bench`. With --peers: beside Python libraries.
    /// With --scaling: against batch size, image side and width. With --ranks: what several processes cost.
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Makes a folder with program, model and licences that runs on machines without Rust.
    Package(package::Args),
    /// Makes a folder that checks and measures the program on a machine with a GPU, without Rust and network.
    GpuKit(gpu::kit::Args),
    /// Turns the results of that folder into docs/gpu.md.
    GpuReport(gpu::report::Args),
    /// Makes the folder, runs it on this machine's GPU and writes the report.
    Gpu(gpu::Args),
    /// Replays diffusers' schedulers with our samplers and prints the differences of the samples. With --metrics:
    /// compares our metrics with pytorch-fid, torch-fidelity and prdc. With --models: our networks with UNet2DModel.
    Parity(parity::Args),
    /// Runs an ablation study: the trainings of a file, their evaluations, and a page with a picture.
    Ablate(ablate::Args),
    /// Trains a recipe of recipes/ and compares it with its receipt; without a name lists them.
    Recipe(recipe::Args),
    /// Makes the model that is built into the program, with its model card, from the run of a recipe.
    Ship(ship::Args),
    /// Fine-tunes the shipped model on one digit of MNIST and trains the same network from scratch, for docs/finetuning/.
    FinetuneDemo(finetune::Args),
    /// Makes a large set of tar shards, trains on it and kills the training: speed, memory, and whether it loses an image.
    StreamDemo(stream_demo::Args),
    /// Trains every objective under equal settings and writes samples and losses for docs/objectives.md.
    Objectives(objectives::Args),
    /// Kills, signals, faults, damage, absurd values: what the program survives, as a table.
    Reliability(reliability::Args),
    /// Runs formatting, lints, docs, each crate's tests, end-to-end tests and a quick `reliability`.
    Test(test::Args),
    /// Runs what CI runs: all of `test` with the committed Cargo.lock, and `cargo deny` if installed.
    Ci,
}

/// Arguments passed to `ddpm` unchanged.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS OF DDPM")]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match dispatch(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", files::printable(&format!("{error:#}")));
            ExitCode::from(error.downcast_ref::<Exit>().map_or(1, Exit::code))
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(args) => setup::run(&workspace, &args),
        Command::Train(passed) => train::run(&workspace, &passed.args),
        Command::Sample(passed) => sample::run(&workspace, &passed.args),
        Command::Figures(passed) => figures::run(&workspace, &passed.args),
        Command::Bench(passed) => bench::run(&workspace, &passed.args),
        Command::Package(args) => package::run(&workspace, &args),
        Command::GpuKit(args) => gpu::kit::run(&workspace, &args),
        Command::GpuReport(args) => gpu::report::run(&workspace, &args),
        Command::Gpu(args) => gpu::run(&workspace, &args),
        Command::Parity(args) => parity::run(&workspace, &args),
        Command::Ablate(args) => ablate::run(&workspace, &args),
        Command::Recipe(args) => recipe::run(&workspace, &args),
        Command::Ship(args) => ship::run(&workspace, &args),
        Command::FinetuneDemo(args) => finetune::run(&workspace, &args),
        Command::StreamDemo(args) => stream_demo::run(&workspace, &args),
        Command::Objectives(args) => objectives::run(&workspace, &args),
        Command::Reliability(args) => reliability::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Ci => ci::run(&workspace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(line: &[&str]) -> Vec<OsString> {
        match Cli::try_parse_from(line).unwrap().command {
            Command::Train(p) | Command::Sample(p) | Command::Figures(p) | Command::Bench(p) => p.args,
            other => panic!("{other:?} passes nothing on"),
        }
    }

    #[test]
    fn everything_after_the_command_is_passed_on_in_order() {
        let args = passed(&["xtask", "train", "--set", "a.b=-1", "-v", "--resume", "pos", "--run", "r"]);
        assert_eq!(args, ["--set", "a.b=-1", "-v", "--resume", "pos", "--run", "r"]);
        assert!(passed(&["xtask", "figures"]).is_empty());
    }

    #[test]
    fn help_and_version_flags_of_ddpm_are_not_taken() {
        assert_eq!(passed(&["xtask", "sample", "--help"]), ["--help"]);
        assert_eq!(passed(&["xtask", "bench", "train", "-h", "-V"]), ["train", "-h", "-V"]);
    }

    #[test]
    fn an_unknown_command_is_a_usage_error() {
        assert_eq!(Cli::try_parse_from(["xtask", "trian"]).unwrap_err().exit_code(), 2);
        assert_eq!(Cli::try_parse_from(["xtask", "setup", "--cpu", "--cuda"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
