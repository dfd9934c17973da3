//! `ddpm bench`: how long a training step and a sampling step take on this machine.

mod solvers;
mod subject;
mod timing;

use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::inspect::table::{Table, grouped};
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::{device, output, progress};

pub(in crate::commands) use subject::Subject;
pub(in crate::commands) use timing::Timings;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time whole training steps: draws, q_sample, forward, backward, clipping, Adam, average
    Train(BenchArgs),
    /// Time steps of a sampling chain: one network call and the update of x_t
    Sample(BenchArgs),
    /// Time every solver: its share of time outside the network, and its images a second
    Solvers(solvers::BenchSolvers),
}

/// Images are synthetic and nothing is read from disk in between. The first steps, which allocate memory and
/// choose kernels, are left out of the median.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm bench train --batch 64 --precision f32
  ddpm bench sample --preset ddpm-cifar10 --batch 16 --steps 5 --json")]
pub(crate) struct BenchArgs {
    /// Configuration: fashion-28, fashion-28-classes, images, ddpm-cifar10, small-32, tiny-16
    #[arg(long, value_name = "NAME", default_value = "fashion-28", visible_alias = "config")]
    preset: String,
    /// Change one value of it, such as model.base_channels=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Images at once [default: train.batch for train, sample.count for sample]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// auto, f32 or bf16 [default: the preset's]
    #[arg(long, value_name = "KIND")]
    precision: Option<String>,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
    /// Steps before them that are not
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Task {
    Train,
    Sample,
}

impl Bench {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Train(args) => args.run(Task::Train, global),
            Self::Sample(args) => args.run(Task::Sample, global),
            Self::Solvers(args) => args.run(global),
        }
    }
}

impl BenchArgs {
    fn run(&self, task: Task, global: &Global) -> anyhow::Result<()> {
        let begun = Instant::now();
        for (flag, value, low) in [("steps", self.steps, 1), ("warmup", self.warmup, 0)] {
            if !(low..=100_000).contains(&value) {
                bail_usage!("--{flag} {value}: expected {low} to 100000");
            }
        }
        let device = device::select(global)?;
        let subject = Subject::new(&self.preset, &self.set, device, self.precision.as_deref())?;
        let batch = self.batch.unwrap_or(match task {
            Task::Train => subject.config.train.batch,
            Task::Sample => subject.config.sample.count,
        });
        if !(1..=65_536).contains(&batch) {
            bail_usage!("--batch {batch}: expected 1 to 65536");
        }
        let bar = progress::bar(global, (self.warmup + self.steps) as u64, "timing");
        let timings = subject.time(task, batch, (self.warmup, self.steps), begun, &mut || bar.inc(1))?;
        bar.finish_and_clear();
        self.report(task, &subject, batch, &timings, global)
    }

    fn report(
        &self,
        task: Task,
        subject: &Subject,
        batch: usize,
        timings: &Timings,
        global: &Global,
    ) -> anyhow::Result<()> {
        let what = match task {
            Task::Train => "train",
            Task::Sample => "sample",
        };
        let (median, min, mean) = (timings.median(), timings.min(), timings.mean());
        let images_per_s = batch as f64 / median;
        let peak = timing::peak_mib();
        let params = subject.net.param_count();
        let precision = device::precision_name(subject.kind);
        let (threads, device) = (tch::get_num_threads(), device::name(subject.net.device()));
        let [channels, height, width] = subject.image;
        let summary = json!({
            "what": what, "preset": self.preset, "batch": batch, "image": subject.image, "params": params,
            "precision": precision, "threads": threads, "device": device, "warmup": self.warmup,
            "steps": self.steps, "median_s": median, "min_s": min, "mean_s": mean,
            "images_per_s": images_per_s, "peak_mib": peak, "first_step_after_s": timings.first_after,
        });
        output::finish(global, &summary, || {
            let unit = match task {
                Task::Train => "images/s",
                Task::Sample => "images/s a step; an image takes as many steps as its chain has",
            };
            let milliseconds = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
            let mut facts = vec![
                (
                    "step",
                    format!(
                        "{} median, {} fastest, of {}",
                        milliseconds(median),
                        milliseconds(min),
                        self.steps
                    ),
                ),
                ("speed", format!("{images_per_s:.1} {unit}")),
                ("first step", format!("done {:.2} s after the start", timings.first_after)),
                ("network", format!("{}, {} parameters", self.preset, grouped(params))),
                ("batch", format!("{batch} of {height}x{width}x{channels}")),
                ("computed", format!("{precision} on {device}, {threads} threads")),
            ];
            if let Some(peak) = peak {
                facts.push(("memory", format!("{peak:.0} MiB at the peak, of the whole program")));
            }
            format!("ddpm bench {what}\n\n{}", Table::facts(facts))
        })
    }
}
