//! Groups of flags that several commands share.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use sampler::{Method, SamplerConfig};
use schedule::{Spacing, Variance};

use crate::failure::{bail_usage, usage};

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

impl SamplerArgs {
    /// A solver by name, everything else as usual.
    pub(crate) fn named(sampler: &str, steps: usize) -> Self {
        Self {
            sampler: sampler.to_owned(),
            steps: Some(steps),
            spacing: Spacing::Trailing.name().to_owned(),
            sigma: None,
            eta: None,
            no_clip: false,
        }
    }

    /// The flags as a configuration, not yet checked against a schedule.
    pub(crate) fn config(&self) -> anyhow::Result<SamplerConfig> {
        let mut method = Method::from_str(&self.sampler).map_err(|e| usage(anyhow!("--sampler: {e}")))?;
        match &mut method {
            Method::Ddpm { variance } => {
                if let Some(sigma) = &self.sigma {
                    *variance = Variance::from_str(sigma).map_err(|e| usage(anyhow!("--sigma: {e}")))?;
                }
            }
            Method::Ddim { eta } => *eta = self.eta.unwrap_or(*eta),
            _ => {}
        }
        match method {
            Method::Ddpm { .. } if self.eta.is_some() => {
                bail_usage!("--eta belongs to --sampler ddim; ddpm has --sigma")
            }
            Method::Ddim { .. } if self.sigma.is_some() => {
                bail_usage!("--sigma belongs to --sampler ddpm; ddim has --eta")
            }
            _ => {}
        }
        let spacing = Spacing::from_str(&self.spacing).map_err(|e| usage(anyhow!("--spacing: {e}")))?;
        let steps = self.steps;
        Ok(SamplerConfig { steps, spacing, clip_x_0: !self.no_clip, ..SamplerConfig::new(method) })
    }
}
