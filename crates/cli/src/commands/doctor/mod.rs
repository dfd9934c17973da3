//! `ddpm doctor`: what this machine has, whether it computes correctly, and how fast.

mod machine;
mod numerics;
mod reference;
mod report;

use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use tch::Device;

use crate::commands::bench::{Subject, Task};
use crate::device;
use crate::flags::Global;
use crate::output;
use report::{Check, Report};

/// What is timed: the default of `ddpm train`.
const PRESET: &str = "fashion-28";
/// Timed steps; the fastest counts.
const TRIES: usize = 3;

/// Checks libtorch, CUDA, precision and numerics. Exit code 1 when a check fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm doctor
  ddpm doctor --device cpu --json")]
pub(crate) struct Doctor {
    /// Skip the timings
    #[arg(long)]
    no_timing: bool,
}

impl Doctor {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        // Load it before any other use of libtorch: libtorch does not find it later.
        let part = torch_ext::load_cuda_part();
        let mut report = Report::default();
        let device = match device::select(global) {
            Ok(device) => device,
            // A bad device name is a usage error. A GPU that cannot be used is a finding.
            Err(error) if !global.device.starts_with("cuda") => return Err(error),
            Err(error) => {
                report.push(Check::fail("device", format!("{error:#}"), "the other checks run on the CPU"));
                Device::Cpu
            }
        };
        report.push(machine::program());
        report.push(machine::libtorch());
        report.push(machine::processor());
        report.push(machine::bf16());
        report.push(machine::threads());
        report.push(machine::cuda_part(&part));
        machine::gpus(&part).into_iter().for_each(|check| report.push(check));
        report.push(machine::precision(device));
        numerics::checks(device).into_iter().for_each(|check| report.push(check));

        let mut seconds = [None; 2];
        if !self.no_timing {
            let tasks = [("train step", Task::Train), ("sampling call", Task::Sample)];
            for ((name, task), slot) in tasks.into_iter().zip(&mut seconds) {
                report.push(Check::attempt(name, || {
                    let (check, fastest) = timed(name, task, device)?;
                    *slot = Some(fastest);
                    Ok(check)
                }));
            }
        }
        let failed = report.failed();
        let summary = json!({
            "ok": failed.is_empty(), "version": env!("CARGO_PKG_VERSION"), "device": device::name(device),
            "checks": report.json(), "train_step_s": seconds[0], "sampling_call_s": seconds[1],
        });
        output::answer(global, &summary, || report.text())?;
        if failed.is_empty() { Ok(()) } else { Err(anyhow!("doctor: failed: {}", failed.join(", "))) }
    }
}

/// The fastest step of a few.
fn timed(name: &'static str, task: Task, device: Device) -> anyhow::Result<(Check, f64)> {
    let subject = Subject::new(PRESET, &[], device, None)?;
    let batch = subject.config.train.batch;
    let timings = subject.time(task, batch, (1, TRIES), Instant::now(), &mut || ())?.timings;
    let fastest = timings.min();
    let precision = subject.precision.name();
    let found = format!(
        "{:.0} ms for {batch} images of {PRESET} in {precision}, {:.0} images/s, the fastest of {TRIES}",
        fastest * 1e3,
        batch as f64 / fastest,
    );
    Ok((Check::ok(name, found), fastest))
}
