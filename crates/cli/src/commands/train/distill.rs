//! `ddpm distill`: a training with the objective `consistency`, whose numbers follow from the run that the weights are from.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use toml::{Table, Value};

use super::{Train, init};
use crate::config::{Config, UserFile};
use crate::exit::ExitCode;
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, Weights};
use crate::output;
use crate::paths::{DataSource, InputPath, OutputFile, OutputFolder};

/// Of the teacher's steps.
const SHARE: u64 = 4;
/// Where nobody knows for how long a network was trained.
const STEPS: u64 = 2000;
/// Of the teacher's learning rate: the weights are good already.
const LR: f64 = 0.5;
/// Keys of `[train]` that stay the teacher's.
const KEPT: &[&str] = &[
    "batch",
    "micro_batch",
    "checkpoint_activations",
    "optimizer",
    "beta1",
    "beta2",
    "adam_eps",
    "weight_decay",
    "grad_clip",
    "ema_decay",
    "ema_warmup",
    "flip",
    "crop",
    "jitter",
    "augment",
    "label_dropout",
];

/// Tunes a trained network to draw in 1 to 4 network calls (easy consistency tuning, Geng et al. 2024).
#[derive(Debug, Args)]
#[command(
    after_help = "The result is a run like any other: ddpm sample draws from it with --sampler consistency --steps \
2, evaluate, export and resuming work as usual. Data, batch size and optimiser are those of the \
teacher's run.

Examples:
  ddpm distill runs/fashion-28
  ddpm sample --run runs/fashion-28-few --steps 1 --count 16
  ddpm distill model.safetensors --data photos/ --steps 4000 --run runs/few"
)]
pub(crate) struct Distill {
    /// The trained network, the teacher: a run folder, or all that --model takes
    #[arg(value_name = "TEACHER")]
    teacher: InputPath,
    /// Steps of training [default: a quarter of the teacher's]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Images [default: those of the teacher's run]
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Which weights of the teacher: ema or raw (as trained)
    #[arg(long, value_name = "SET", value_enum, default_value_t = Weights::Ema, hide_possible_values = true)]
    weights: Weights,
    /// Run folder [default: that of TEACHER with -few behind it, or runs/distilled]
    #[arg(long, value_name = "DIR")]
    run: Option<OutputFolder>,
    /// Change one value of the configuration, such as train.halvings=6; may be repeated, the last one counts
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Show the complete configuration and stop
    #[arg(long)]
    dump_config: bool,
    /// Show what would be trained and how long it would take, and stop
    #[arg(long, conflicts_with = "dump_config")]
    dry_run: bool,
    /// Images that --dry-run shows
    #[arg(long, value_name = "FILE", default_value = "out/preview.png", requires = "dry_run")]
    preview: OutputFile,
}

impl Distill {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.steps == Some(0) {
            bail_usage!("--steps 0: expected at least 1");
        }
        // Before the teacher, which may be large.
        if let Some(run) = self.run.as_deref().filter(|_| !(self.dump_config || self.dry_run)) {
            output::try_folder("--run", run, &[])?;
        }
        let teacher = init::source(&self.teacher, "TEACHER", self.weights)?;
        let (config, trained) = (&teacher.config, teacher.step);
        if config.images.is_none() && self.data.is_none() {
            bail_usage!(
                "--data: nothing is known of the images that {} was trained on; name some",
                self.teacher.display()
            );
        }
        let steps = self.steps.unwrap_or(if trained == 0 { STEPS } else { (trained / SHARE).max(1) });
        let text = layer(config, steps)?;
        let run = self.run.as_deref().map_or_else(|| few(&self.teacher), Path::to_owned);
        let train = Train {
            preset: None,
            objective: Some("consistency".to_owned()),
            config: None,
            layer: Some(UserFile { name: format!("the configuration of {}", self.teacher.display()), text }),
            data: self.data.clone(),
            on_bad: None,
            on_nan: None,
            batch: None,
            checkpoint_activations: false,
            init_from: Some(self.teacher.clone()),
            init_weights: self.weights,
            run: Some(OutputFolder::of(run)),
            resume: false,
            set: self.set.clone(),
            dump_config: self.dump_config,
            dry_run: self.dry_run,
            preview: self.preview.clone(),
        };
        train.run(global)
    }
}

/// What the teacher's configuration says for its pupil.
fn layer(teacher: &Config, steps: u64) -> anyhow::Result<String> {
    let all = Table::try_from(teacher)?;
    let mut layer = Table::new();
    if teacher.images.is_some() {
        layer.insert("data".to_owned(), all["data"].clone());
    }
    let mut train = Table::new();
    if let Some(of_teacher) = all["train"].as_table() {
        let kept = of_teacher.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
        train.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
    }
    let number =
        |number: u64| i64::try_from(number).map_err(|_| usage(anyhow!("--steps {number}: too many")));
    train.insert("steps".to_owned(), Value::Integer(number(steps)?));
    train.insert("lr".to_owned(), Value::Float(teacher.train.lr * LR));
    train.insert(
        "warmup_steps".to_owned(),
        Value::Integer(number((steps / 20).min(teacher.train.warmup_steps))?),
    );
    train.insert("checkpoint_every".to_owned(), Value::Integer(number(teacher.train.checkpoint_every)?));
    layer.insert("train".to_owned(), Value::Table(train));
    Ok(toml::to_string(&layer)?)
}

/// The folder of a run without a name: beside that of the teacher.
fn few(teacher: &Path) -> PathBuf {
    match teacher.file_name() {
        Some(name) if teacher.join("checkpoints").is_dir() => {
            let mut name = name.to_owned();
            name.push("-few");
            teacher.with_file_name(name)
        }
        _ => Path::new(crate::model::RUNS).join("distilled"),
    }
}
