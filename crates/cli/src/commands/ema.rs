//! `ddpm ema`: another average of a run's weights, made after the training.

use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use trainer::{Combination, Profile, reconstruct};

use crate::config;
use crate::failure::usage;
use crate::flags::Global;
use crate::model::{self, RUNS};
use crate::paths::{InputPath, OutputFolder, text};
use crate::{output, signals};

/// Error of a combination of snapshots that is worth a warning, and one that is refused.
const FAR: f64 = 0.05;
const TOO_FAR: f64 = 0.3;

/// Compute another average of a run's weights from the snapshots that it stored
#[derive(Debug, Args)]
#[command(after_help = "A run stores snapshots on request: ddpm train --set train.ema_sigma_rels=[0.05,0.1]
An average that the run kept (train.ema_decays, train.ema_sigma_rels) is used as it is.
Writes a model folder: the newest checkpoint of the run, with this average in place of its own.

Examples:
  ddpm ema --run runs/mine --sigma-rel 0.07 --out runs/mine-007
  ddpm sample --model runs/mine-007/step-00003000")]
pub(crate) struct EmaArgs {
    /// Run folder [default: the newest in runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<InputPath>,
    /// Power average whose width is this share of the run (sigma_rel of Karras et al. 2024), 0.01 to 0.28
    /// [default: none]
    #[arg(long, value_name = "X", required_unless_present = "decay", conflicts_with = "decay")]
    sigma_rel: Option<f64>,
    /// Plain average with this decay and the run's warm-up, 0 to 1 [default: none]
    #[arg(long, value_name = "X")]
    decay: Option<f64>,
    /// Folder for the model folder
    #[arg(long, value_name = "DIR", default_value = "out/ema")]
    out: OutputFolder,
}

impl EmaArgs {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let wanted = self.wanted()?;
        output::try_folder("--out", &self.out, &[])?;
        let run = match &self.run {
            Some(run) => run.to_path_buf(),
            None => model::newest_with_checkpoint(Path::new(RUNS))?,
        };
        let checkpoint = model::newest_checkpoint(&run)?;
        let config = config::read_run(&checkpoint.path.join("config.toml"))?;
        let params = tensor_io::read(&checkpoint.ema_path())?;
        let (steps, folder) = (checkpoint.state.step, run.join("averages"));
        // Do not replace a checkpoint of this run, or anyone's files.
        let place = self.out.join(format!("step-{steps:08}"));
        if place.symlink_metadata().is_ok() {
            return Err(usage(anyhow!(
                "--out {}: {} already exists; choose another folder",
                self.out.display(),
                place.display()
            )));
        }
        let made = match checkpoint.kept(&config.train, wanted, &params)? {
            Some(kept) => Ok((kept, Combination { weights: vec![1.0], error: 0.0 })),
            None => reconstruct(&folder, &config.train, &params, wanted, steps),
        };
        let (average, combination) = made.with_context(|| format!("--run {}", run.display()))?;
        if combination.error > TOO_FAR {
            return Err(usage(anyhow!(
                "{wanted}: the snapshots of this run come no nearer than {:.0}% to this average; train with more of \
                 them (a lower train.checkpoint_every), or with others (train.ema_sigma_rels)",
                combination.error * 100.0
            )));
        }
        let copy = signals::undisturbed(|| checkpoint.with_average(&self.out, &average).context("--out"))?;
        if combination.error > FAR {
            tracing::warn!(
                "the snapshots of this run come no nearer than {:.0}% to this average: store more of them (a lower \
                 train.checkpoint_every), or ask for one nearer to train.ema_sigma_rels",
                combination.error * 100.0
            );
        }
        let used = combination.weights.iter().filter(|&&weight| weight != 0.0).count();
        let summary = json!({
            "run": text(&run), "step": steps, "average": wanted.to_string(), "snapshots": used, "error": combination.error,
            "out": text(&copy.path),
        });
        output::finish(global, &summary, || {
            format!(
                "{wanted} at step {steps}, from {used} stored averages, off by {:.2}%: {}",
                combination.error * 100.0,
                copy.path.display()
            )
        })
    }

    fn wanted(&self) -> anyhow::Result<Profile> {
        match (self.sigma_rel, self.decay) {
            (Some(x), _) if (0.01..=0.28).contains(&x) => Ok(Profile::SigmaRel(x)),
            (Some(x), _) => Err(usage(anyhow!("--sigma-rel {x}: expected a number from 0.01 to 0.28"))),
            (None, Some(x)) if (0.0..1.0).contains(&x) => Ok(Profile::Decay(x)),
            (None, x) => {
                let got = x.unwrap_or(f64::NAN);
                Err(usage(anyhow!("--decay {got}: expected a number from 0 to below 1")))
            }
        }
    }
}
