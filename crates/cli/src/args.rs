//! Flags and sub-commands.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Train, sample, understand and exchange denoising diffusion models.
#[derive(Debug, Parser)]
#[command(name = "ddpm", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line of this process; a mistake in it ends the process with its explanation.
pub(crate) fn parse() -> Cli {
    let matches = with_negative_numbers(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Takes `--count -1` for a wrong number and not for an unknown flag.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.allow_negative_numbers(true).mut_subcommands(with_negative_numbers)
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: String,
    /// CPU threads for the tensor work [default: one for each core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Print results as JSON on standard output, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log errors only, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network on images (Algorithm 1)
    Train(commands::train::Train),
    /// Draw images from a trained network (Algorithm 2 and shorter ways)
    Sample(commands::sample::Sample),
    /// Start from an image instead of from noise
    #[command(subcommand)]
    Edit(commands::edit::Edit),
    /// Draw the figures of the report, and the report
    Figures(commands::figures::Figures),
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
    /// Print a completion script for a shell
    Completions(commands::completions::Completions),
}

/// Where the trained network is: at most one of the two; without either, the run trained last.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Run folder of `ddpm train`: its newest sound checkpoint is used [default: the newest in runs/]
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub(crate) run: Option<PathBuf>,
    /// Folder of one model: a checkpoint, for example
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Which of the two sets of weights: their average, or as trained
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub(crate) weights: Weights,
    /// Precision of the network: auto, f32 or bf16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) precision: String,
}

/// A checkpoint holds two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    // Plain comments: described one by one, they would stretch every help text to two screens.
    // The exponential moving average.
    Ema,
    // As trained.
    Raw,
}

/// How to run the reverse process.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplerArgs {
    /// Solver: ddpm or ddim
    #[arg(long, value_name = "NAME", default_value = "ddpm")]
    pub(crate) sampler: String,
    /// Steps of the solver, 1 to T [default: all T]
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// Which t a shorter chain visits: leading, trailing, linspace or quadratic
    #[arg(long, value_name = "NAME", default_value = "trailing")]
    pub(crate) spacing: String,
    /// Variance of ddpm's noise: fixed-small (the posterior's) or fixed-large (beta_t) [default: fixed-small]
    #[arg(long, value_name = "NAME")]
    pub(crate) sigma: Option<String>,
    /// Share of noise in ddim, 0 (none) to 1 (as much as ddpm) [default: 0]
    #[arg(long, value_name = "X")]
    pub(crate) eta: Option<f64>,
    /// Let the predicted x_0 leave [-1, 1]
    #[arg(long)]
    pub(crate) no_clip: bool,
}
