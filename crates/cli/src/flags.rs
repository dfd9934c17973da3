//! Groups of flags that several commands share.

use crate::paths::InputPath;
use clap::{Args, ValueEnum};

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: String,
    /// CPU threads for the tensor work, at most 4 per core (16 are always allowed) [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Take only algorithms that give the same numbers in every run, slower on a GPU; on a CPU all do
    #[arg(long, global = true)]
    pub(crate) deterministic: bool,
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

/// Where the trained network is: at most one of the two; without either, the run trained last.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Run folder of `ddpm train`: its newest sound checkpoint is used [default: the newest in runs/]
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub(crate) run: Option<InputPath>,
    /// One model: a checkpoint, a file of `ddpm export`, or a folder of diffusers
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<InputPath>,
    /// Put these low-rank adapters on the model: a file of `ddpm export --format adapter`
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<InputPath>,
    /// Use the run's best checkpoint by its own evaluations, not its newest
    #[arg(long, conflicts_with = "model")]
    pub(crate) best: bool,
    /// Which of the two sets of weights: their average, or as trained
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub(crate) weights: Weights,
    /// Precision of the network: auto, f32, tf32 or bf16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) precision: String,
    /// Take a run whose images are larger than its weights let expect
    #[arg(long)]
    pub(crate) any_size: bool,
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
