//! Flags shared by several commands.

use crate::paths::InputPath;
use clap::{Args, ValueEnum};

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: String,
    /// CPU threads for tensor operations, at most 4 per core (16 are always allowed) [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Use only deterministic algorithms: the same numbers in every run, but slower on a GPU; a CPU always does
    #[arg(long, global = true)]
    pub(crate) deterministic: bool,
    /// Print results as JSON on standard output, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more; repeat for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log errors only, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// Where the trained network is: at most one of the two; without either, the newest run, or else the shipped model.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Run folder of `ddpm train`; its newest valid checkpoint is used [default: the newest in runs/,
    /// else --model shipped]
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub(crate) run: Option<InputPath>,
    /// One model: a checkpoint, a file of `ddpm export`, a diffusers folder, or shipped, the built-in one
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<InputPath>,
    /// Low-rank adapters to add: a file of `ddpm export --format adapter`
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<InputPath>,
    /// Use the best checkpoint by the run's own evaluations, not the newest
    #[arg(long, conflicts_with = "model")]
    pub(crate) best: bool,
    /// Weights to use: their average, or as trained
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub(crate) weights: Weights,
    /// Precision of the network: auto, f32, tf32 or bf16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) precision: String,
    /// Accept images that are larger than the weights suggest
    #[arg(long)]
    pub(crate) any_size: bool,
}

/// The two sets of weights in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    // Plain comments: doc comments would make every help text two screens long.
    // The exponential moving average.
    Ema,
    // As trained.
    Raw,
}
