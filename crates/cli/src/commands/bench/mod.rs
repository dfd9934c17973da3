//! `ddpm bench`: how long a training step and a sampling step take on this machine.

mod parts;
mod peak;
mod report;
mod solvers;
mod subject;
mod sums;
pub(in crate::commands) mod timing;

use std::time::Instant;

use clap::{Args, Subcommand};
use distributed::World;
use tch::Device;

use crate::failure::bail_usage;
use crate::flags::Global;
use crate::{device, progress, ranks};

pub(in crate::commands) use subject::Subject;
use subject::Ways;
pub(in crate::commands) use timing::Timings;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time whole training steps: draws, q_sample, forward, backward, clipping, Adam, EMA
    Train(BenchArgs),
    /// Time steps of a sampling chain: one network call and the update of x_t
    Sample(BenchArgs),
    /// Time every solver: share of time outside the network, and images per second
    Solvers(solvers::BenchSolvers),
    /// Time sums over ranks, such as those of the gradients in every step
    Sums(sums::BenchSums),
}

/// Images are synthetic, so nothing is read from disk. The first steps, which allocate memory and choose kernels, do
/// not count towards the median.
#[derive(Debug, Args)]
#[command(
    after_help = "gflop counts 2 per multiply-add of convolutions and linear layers, as PyTorch's counter does; \
attention_gflop counts the products of the attention. share_of_peak is gflop / median_s over \
peak_gflop_per_s, the fastest 3x3 convolution of the network's sizes, timed right after the steps. \
parts are means of a few more steps. small32 and cifar10 stand for small-32 and ddpm-cifar10.
`ddpm launch --nproc 2 -- bench train` times the steps of two ranks, which divide the batch.

Examples:
  ddpm bench train --batch 64 --precision f32
  ddpm bench sample --preset ddpm-cifar10 --batch 16 --steps 5 --json"
)]
pub(crate) struct BenchArgs {
    #[arg(help = format!("Configuration: {}", crate::config::names(crate::config::PRESETS)), long, value_name = "NAME", default_value = "fashion-28", visible_alias = "config")]
    preset: String,
    /// Override one value, such as model.base_channels=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Batch size [default: train.batch for train, sample.count for sample]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// auto, f32, tf32 or bf16 [default: the preset's]
    #[arg(long, value_name = "KIND")]
    precision: Option<String>,
    /// Timed steps
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
    /// Warm-up steps before them, not timed
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
    /// With several ranks, sum gradients after the backward pass and not during it, to compare (train only)
    #[arg(long)]
    no_overlap: bool,
    /// On a GPU, launch each kernel instead of a recorded step
    #[arg(long, hide = true)]
    no_recording: bool,
    /// On a GPU, keep the channels of feature maps innermost
    #[arg(long, hide = true)]
    channels_last: bool,
}

/// The measurements.
pub(in crate::commands) struct Measured {
    pub(in crate::commands) timings: Timings,
    /// Peak memory of the process up to the end of the timed steps, in MiB.
    peak_mib: Option<f64>,
    parts: parts::Parts,
}

/// The preset behind a name. The two networks of the peer benchmarks have short names as well.
fn canonical(name: &str) -> &str {
    match name {
        "small32" => "small-32",
        "cifar10" => "ddpm-cifar10",
        _ => name,
    }
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
            Self::Sums(args) => args.run(global),
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
        if task == Task::Sample {
            ranks::refuse("bench sample")?;
        }
        let device = device::select(global)?;
        let ways = self.ways(device)?;
        let subject = Subject::new(&self.preset, &self.set, device, self.precision.as_deref())?.with(ways);
        let batch = self.batch.unwrap_or(match task {
            Task::Train => subject.config.train.batch,
            Task::Sample => subject.config.sample.count,
        });
        if !(1..=65_536).contains(&batch) {
            bail_usage!("--batch {batch}: expected 1 to 65536");
        }
        let mut world = if task == Task::Train { ranks::join()? } else { World::alone() };
        let (ranks, is_first) = (world.size(), world.is_first());
        if self.no_overlap && ranks == 1 {
            bail_usage!(
                "--no-overlap: expected several ranks, found one; start them with ddpm launch --nproc 2 -- bench train"
            );
        }
        if !batch.is_multiple_of(ranks) {
            bail_usage!("--batch {batch}: expected a multiple of the number of ranks, which is {ranks}");
        }
        ranks::choose_transport(&mut world, device)?;
        let bar = progress::bar(global, (self.warmup + self.steps) as u64, "timing");
        let (counts, mut tick) = ((self.warmup, self.steps), || bar.inc(1));
        let measured = subject.time_on(world, task, batch, counts, (begun, &mut tick))?;
        bar.finish_and_clear();
        let computed = (subject.precision.kind(), subject.net.device());
        // All ranks measure it at the same time, as they compute.
        let peak = peak::flop_per_s(&subject.config.model, batch / ranks, subject.image, computed)?;
        if !is_first {
            return Ok(());
        }
        let (preset, warmup) = (canonical(&self.preset), self.warmup);
        report::Report { task, preset, subject: &subject, batch, warmup, measured, peak, ranks }
            .finish(global)
    }

    /// The first two flags are about GPUs.
    fn ways(&self, device: Device) -> anyhow::Result<Ways> {
        for (flag, is_set, why) in [
            ("no-recording", self.no_recording, "a CPU records nothing"),
            ("channels-last", self.channels_last, "on a CPU the channels are always innermost"),
        ] {
            if is_set && !device.is_cuda() {
                bail_usage!("--{flag}: expected a GPU, found a CPU: {why}; leave it out");
            }
        }
        Ok(Ways {
            unrecorded: self.no_recording,
            channels_last: self.channels_last,
            summed_after: self.no_overlap,
        })
    }
}
