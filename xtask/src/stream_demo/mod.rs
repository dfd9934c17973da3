//! `cargo xtask stream-demo`: checks what docs/large-data.md promises on a set of any size. It writes tar shards of noisy
//! images, trains on them and on images in memory in turns, kills a training, and compares speed, memory and weights.

mod earlier;
mod embedded;
mod page;
mod sample;
mod shards;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::child::{Ddpm, Program};
use crate::json_file::write_json;
use crate::machine::Origin;
use crate::outputs;
use crate::process::Exit;
use crate::workspace::Workspace;
use earlier::{IN_MEMORY, KILLED, STREAMED};
use embedded::{Embedded, SIDE};
use page::{Demo, Read};
use training::{Images, Trainings};

/// MiB of decoded images that a large set may keep, and images of a group.
const LARGE: (u64, u64) = (256, 10_000);
/// The same for sets that would fit into that.
const SMALL: (u64, u64) = (1, 300);
/// GB of a set.
const SIZES: std::ops::RangeInclusive<f64> = 0.01..=2000.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the shards: empty, or with the set of an earlier call, which is used again.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Size of the set in GB, 0.01 to 2000.
    #[arg(long, value_name = "GB", default_value_t = 20.0)]
    gb: f64,
    /// Preset of the trainings.
    #[arg(long, value_name = "NAME", default_value = "fashion-28")]
    preset: String,
    /// Override one value of every training, such as precision=f32; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Steps of each training.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    steps: u64,
    /// Trainings on the set, and as many on images in memory.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Threads on which the reader's speed is measured, each 1 to 1024 [default: 1, 2, 4, .. and all cores].
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Vec<u32>,
    /// Seed of images, trainings and kills.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder for the runs; those of an earlier call are replaced, anything else is refused.
    #[arg(long, value_name = "DIR", default_value = "runs/stream-demo")]
    runs: PathBuf,
    /// Folder for the JSON and the table.
    #[arg(long, value_name = "DIR", default_value = "docs/large-data")]
    out: PathBuf,
    #[command(flatten)]
    program: Program,
}

/// The exit code is 1 if the memory or the weights are not as promised.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    if !SIZES.contains(&args.gb) {
        let text = format!("--gb {}: expected {} to {}", args.gb, SIZES.start(), SIZES.end());
        return Err(Exit::usage(text).into());
    }
    earlier::check(&args.runs)?;
    let at = |name: &str| args.out.join(name);
    outputs::try_all(&[("--out", Some(&at("stream.json"))), ("--out", Some(&at("stream.md")))])?;
    let embedded = Embedded::read(&workspace.root().join("assets/fashion-mnist-12k.npz"))?;
    println!("{}: {} GB of shards", args.dir.display(), args.gb);
    let set = shards::make(&args.dir, &embedded, (args.gb * 1e9) as u64, args.seed)?;
    let dir = args.dir.canonicalize().with_context(|| args.dir.display().to_string())?;

    let ddpm = Ddpm::new(args.program.path(workspace)?, args.program.device.clone())?;
    let decoded = set.images * (SIDE * SIDE) as u64;
    let (memory, buffer) = if decoded > 2 * (LARGE.0 << 20) { LARGE } else { SMALL };
    let trainings = Trainings { ddpm: &ddpm, args, memory, buffer };
    let (mut streamed, mut in_memory, mut peak) = (Vec::new(), Vec::new(), None);
    for round in 0..args.rounds {
        println!("round {} of {}", round + 1, args.rounds);
        let mut order = [(STREAMED, Images::Streamed(&dir)), (IN_MEMORY, Images::InMemory)];
        // Other load and the machine's temperature meet both.
        if round % 2 == 1 {
            order.reverse();
        }
        for (name, images) in order {
            let trained = trainings.whole(name, images)?;
            println!("  {name}: {:.1} images/s", trained.images_per_s);
            if images == Images::InMemory {
                in_memory.push(trained.images_per_s);
            } else {
                peak = peak.max(trained.peak);
                streamed.push(trained.images_per_s);
            }
        }
    }
    println!("kill -9");
    let killed = trainings.killed(KILLED, Images::Streamed(&dir))?;
    let mut read = Vec::new();
    for threads in args.threads() {
        println!("reading on {}", files::counted(threads, "thread"));
        read.push(Read { threads, images_per_s: trainings.read(&dir, threads)? });
    }
    let demo = Demo {
        set,
        preset: args.preset.clone(),
        steps: args.steps,
        seed: args.seed,
        streamed_images_per_s: streamed,
        in_memory_images_per_s: in_memory,
        peak_bytes: peak.max(killed.peak),
        killed_at: killed.at,
        same_weights: killed.weights == trainings.weights(STREAMED)?,
        read,
        origin: Origin::now(workspace, args.program.device.as_deref()),
    };
    let text = page::page(&demo)?;
    write_json(&at("stream.json"), &demo)?;
    outputs::write(&at("stream.md"), &text)?;
    println!("{text}\nwritten to {}", at("stream.md").display());
    Ok(if demo.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    /// The numbers of threads on which the reader is measured.
    fn threads(&self) -> Vec<usize> {
        if self.threads.is_empty() {
            return powers(std::thread::available_parallelism().map_or(1, usize::from));
        }
        self.threads.iter().map(|&threads| threads as usize).collect()
    }
}

/// 1, 2, 4, .. below the number of cores, and that.
fn powers(cores: usize) -> Vec<usize> {
    let mut powers: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n < cores).collect();
    powers.push(cores);
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_double_up_to_all_cores() {
        assert_eq!(powers(1), [1]);
        assert_eq!(powers(2), [1, 2]);
        assert_eq!(powers(6), [1, 2, 4, 6]);
        assert_eq!(powers(8), [1, 2, 4, 8]);
    }
}
