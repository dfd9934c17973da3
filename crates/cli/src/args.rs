//! The command line: the sub-commands, and the code that each one runs.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::diagnostics::{self, Diagnostics};
use crate::exit::ExitCode;
use crate::failure;
use crate::flags::Global;
use crate::help;
use crate::memory;
use crate::output;
use crate::threads;

/// Train, sample, inspect and exchange denoising diffusion models.
#[derive(Debug, Parser)]
#[command(name = "ddpm", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network on images (Algorithm 1)
    Train(commands::train::Train),
    /// Train or sample with several processes on this machine
    Launch(commands::launch::Launch),
    /// Tune a trained network to draw in 1 to 4 network calls
    Distill(commands::train::distill::Distill),
    /// Run trial training steps, to see whether they fit in memory
    #[command(hide = true)]
    TryStep(commands::try_step::TryStep),
    /// Sample images from a trained network (Algorithm 2, or a faster solver)
    Sample(commands::sample::Sample),
    /// Start from an image instead of noise
    #[command(subcommand)]
    Edit(commands::edit::Edit),
    /// Draw the figures and the report page
    Figures(commands::figures::Figures),
    /// Plot the metric of every training run of a study
    #[command(hide = true)]
    DrawAblation(commands::figures::DrawAblation),
    /// Compare two or more runs: losses, samples, metrics, configuration, cost
    Compare(commands::compare::Compare),
    /// Plot how time and memory of a training step scale
    #[command(hide = true)]
    DrawScaling(commands::figures::DrawScaling),
    /// Compute another average of a run's weights after training
    Ema(commands::ema::EmaArgs),
    /// Fit a mixture of Gaussians to the training images, to sample in 2 to 8 steps
    Mixture(commands::mixture::MixtureArgs),
    /// Measure sample quality: distances to real images, precision and recall, likelihood, copying
    Evaluate(commands::evaluate::Evaluate),
    /// Train a classifier whose features are used to compare images
    TrainFeatures(commands::train_features::TrainFeatures),
    /// Convert a model from another program to a file that every command accepts
    Import(commands::import::Import),
    /// Export a trained network
    Export(commands::export::Export),
    /// Run a network on arrays: eps for given x_t and t
    Predict(commands::predict::Predict),
    /// Explain configuration keys, presets and objectives
    #[command(subcommand)]
    Config(commands::configuration::Configuration),
    /// Inspect a schedule, an embedding, a network, a checkpoint or data
    #[command(subcommand)]
    Inspect(commands::inspect::Inspect),
    /// Time training and sampling steps
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    /// Check libtorch, CUDA and numerics
    Doctor(commands::doctor::Doctor),
    /// Compare a device with the CPU
    #[command(hide = true)]
    CheckDevice(commands::check_device::CheckDevice),
    /// List the flags that take a path, and whether it is read or written
    #[command(hide = true)]
    Flags(commands::flags::Flags),
    /// Print a completion script for a shell
    Completions(commands::completions::Completions),
}

/// Parses the command line of this process. On a mistake or a request for help, prints the message and returns how the
/// process ends.
pub(crate) fn parse() -> Result<Cli, anyhow::Result<ExitCode>> {
    let command = help::prepared(with_negative_numbers(Cli::command()));
    let matches = command.try_get_matches();
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        let told = error.render();
        // clap echoes values verbatim, so unprintable ones are escaped here. clap's colours are lost with it.
        let told = match std::env::args_os().any(|arg| is_unprintable(&arg)) {
            true => files::printable(&told.to_string()).into_owned(),
            false if diagnostics::has_colours(error.use_stderr()) => told.ansi().to_string(),
            false => told.to_string(),
        };
        let told = help::finished(&told);
        if error.use_stderr() {
            // It cannot fail.
            let _ = Diagnostics.write_all(told.as_bytes());
            return Ok(ExitCode::from(failure::USAGE));
        }
        // Help and the version are results, so they go to stdout.
        let mut out = std::io::stdout().lock();
        output::printed(out.write_all(told.as_bytes()).and_then(|()| out.flush())).map(|()| ExitCode::SUCCESS)
    })
}

fn is_unprintable(arg: &OsStr) -> bool {
    matches!(files::printable_line(&arg.to_string_lossy()), Cow::Owned(_))
}

/// Makes clap read `--count -1` as a wrong number, not as an unknown flag.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.allow_negative_numbers(true).mut_subcommands(with_negative_numbers)
}

impl Cli {
    /// Runs the command. The caller decides the exit code of an error.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let global = &self.global;
        threads::check(global.threads)?;
        // Training decides later, when it knows how much memory it takes.
        if !matches!(
            self.command,
            Command::Train(_) | Command::Distill(_) | Command::TryStep(_) | Command::Launch(_)
        ) {
            memory::keep_freed();
        }
        match &self.command {
            Command::Train(args) => return args.run(global),
            Command::Launch(args) => return args.run(global),
            Command::Distill(args) => return args.run(global),
            Command::TryStep(args) => args.run(global)?,
            Command::Sample(args) => return args.run(global),
            Command::Edit(args) => return args.run(global),
            Command::Figures(args) => args.run(global)?,
            Command::DrawAblation(args) => args.run(global)?,
            Command::Compare(args) => args.run(global)?,
            Command::DrawScaling(args) => args.run(global)?,
            Command::Ema(args) => args.run(global)?,
            Command::Mixture(args) => args.run(global)?,
            Command::Evaluate(args) => args.run(global)?,
            Command::TrainFeatures(args) => return args.run(global),
            Command::Import(args) => args.run(global)?,
            Command::Export(args) => args.run(global)?,
            Command::Predict(args) => args.run(global)?,
            Command::Config(args) => args.run(global)?,
            Command::Inspect(args) => args.run(global)?,
            Command::Bench(args) => args.run(global)?,
            Command::Doctor(args) => args.run(global)?,
            Command::CheckDevice(args) => args.run(global)?,
            Command::Completions(args) => args.run(&Self::command())?,
            Command::Flags(args) => args.run(Self::command())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
