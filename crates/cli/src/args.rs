//! The command line: sub-commands, and which code each of them runs.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::diagnostics::{self, Diagnostics};
use crate::failure;
use crate::flags::Global;
use crate::memory;
use crate::output;
use crate::threads;

/// Train, sample, understand and exchange denoising diffusion models.
#[derive(Debug, Parser)]
#[command(name = "ddpm", version, propagate_version = true, max_term_width = 100)]
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
    /// Tune a trained network to draw in 1 to 4 network calls
    Distill(commands::train::distill::Distill),
    /// Try training steps, to see whether they fit into memory
    #[command(hide = true)]
    TryStep(commands::try_step::TryStep),
    /// Draw images from a trained network (Algorithm 2 and shorter ways)
    Sample(commands::sample::Sample),
    /// Start from an image instead of from noise
    #[command(subcommand)]
    Edit(commands::edit::Edit),
    /// Draw the figures of the report, and the report
    Figures(commands::figures::Figures),
    /// Draw the metric of every training of a study
    #[command(hide = true)]
    DrawAblation(commands::figures::DrawAblation),
    /// Put two or more runs beside each other: losses, samples, metrics, configuration, cost
    Compare(commands::compare::Compare),
    /// Draw how time and memory of a training step grow
    #[command(hide = true)]
    DrawScaling(commands::figures::DrawScaling),
    /// Make another average of a run's weights than the one it kept
    Ema(commands::ema::EmaArgs),
    /// Measure how good samples are: distances to real images, precision and recall, likelihood, copying
    Evaluate(commands::evaluate::Evaluate),
    /// Train a classifier whose features compare images
    TrainFeatures(commands::train_features::TrainFeatures),
    /// Turn a model of another program into a file that every command takes
    Import(commands::import::Import),
    /// Write a trained network as one file
    Export(commands::export::Export),
    /// Apply a network to arrays: eps for given x_t and t
    Predict(commands::predict::Predict),
    /// Look at a schedule, an embedding, a network, a checkpoint or data
    #[command(subcommand)]
    Inspect(commands::inspect::Inspect),
    /// Time training and sampling steps
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    /// Say what was found: libtorch, CUDA, precision, and whether it computes right
    Doctor(commands::doctor::Doctor),
    /// List the flags that take a path, and whether it is read or written
    #[command(hide = true)]
    Flags(commands::flags::Flags),
    /// Print a completion script for a shell
    Completions(commands::completions::Completions),
}

/// The command line of this process. After a mistake in it, or a call for help, how the process ends: the explanation has
/// been printed by then.
pub(crate) fn parse() -> Result<Cli, anyhow::Result<ExitCode>> {
    let command = with_negative_numbers(Cli::command()).color(diagnostics::clap_colours());
    let matches = command.try_get_matches();
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        // A value of the user's goes into the explanation as it is. clap's own colours are lost with it.
        let printed = match std::env::args_os().any(|arg| is_unprintable(&arg)) {
            true => write!(Diagnostics, "{}", files::printable(&error.render().to_string())),
            false => error.print(),
        };
        if error.use_stderr() {
            return Ok(ExitCode::from(failure::USAGE));
        }
        // Help, and the version, are results.
        output::printed(printed.and_then(|()| std::io::stdout().flush())).map(|()| ExitCode::SUCCESS)
    })
}

fn is_unprintable(arg: &OsStr) -> bool {
    matches!(files::printable_line(&arg.to_string_lossy()), Cow::Owned(_))
}

/// Takes `--count -1` for a wrong number and not for an unknown flag.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.allow_negative_numbers(true).mut_subcommands(with_negative_numbers)
}

impl Cli {
    /// Runs the command; the exit code of an error is not decided here.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let global = &self.global;
        threads::check(global.threads)?;
        // Training decides when it knows how much of the memory it takes.
        if !matches!(self.command, Command::Train(_) | Command::Distill(_) | Command::TryStep(_)) {
            memory::keep_freed();
        }
        match &self.command {
            Command::Train(args) => return args.run(global),
            Command::Distill(args) => return args.run(global),
            Command::TryStep(args) => args.run(global)?,
            Command::Sample(args) => return args.run(global),
            Command::Edit(args) => return args.run(global),
            Command::Figures(args) => args.run(global)?,
            Command::DrawAblation(args) => args.run(global)?,
            Command::Compare(args) => args.run(global)?,
            Command::DrawScaling(args) => args.run(global)?,
            Command::Ema(args) => args.run(global)?,
            Command::Evaluate(args) => args.run(global)?,
            Command::TrainFeatures(args) => return args.run(global),
            Command::Import(args) => args.run(global)?,
            Command::Export(args) => args.run(global)?,
            Command::Predict(args) => args.run(global)?,
            Command::Inspect(args) => args.run(global)?,
            Command::Bench(args) => args.run(global)?,
            Command::Doctor(args) => args.run(global)?,
            Command::Completions(args) => args.run(Self::command())?,
            Command::Flags(args) => args.run(Self::command())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
