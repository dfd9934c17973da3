//! `ddpm bench solvers`: each solver's cost outside the network, and its images per second.

use std::cell::Cell;
use std::time::{Duration, Instant};

use clap::Args;
use sampler::{Method, Noise, Sampler, SamplerConfig};
use serde_json::json;
use tch::Tensor;
use trainer::BoxError;

use crate::commands::bench::parts::finish;
use crate::commands::bench::{Subject, canonical};
use crate::commands::inspect::table::Table;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::{device, model, output, progress, ranks};

/// Runs a short chain of every solver on a fresh network and separates the network's time from the rest.
#[derive(Debug, Args)]
#[command(
    after_help = "Images per second are for each solver's default number of steps: all T for ddpm, 15 to 50 for the \
others, as in `ddpm sample --sampler NAME`.

Example:
  ddpm bench solvers --batch 64 --json"
)]
pub(crate) struct BenchSolvers {
    #[arg(help = format!("Configuration: {}", crate::config::names(crate::config::PRESETS)), long, value_name = "NAME", default_value = "fashion-28", visible_alias = "config")]
    preset: String,
    /// Override one value, such as model.base_channels=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Batch size
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// auto, f32, tf32 or bf16 [default: the preset's]
    #[arg(long, value_name = "KIND")]
    precision: Option<String>,
    /// Steps of each timed chain
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
}

/// The timings of one solver.
struct Row {
    method: Method,
    /// The solver's default steps, and their network calls.
    steps: usize,
    calls: usize,
    /// Seconds of a network call and the update after it.
    per_call: f64,
    /// Share of that outside the network, in [0, 1].
    outside: f64,
}

impl BenchSolvers {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        if !(1..=65_536).contains(&self.batch) {
            bail_usage!("--batch {}: expected 1 to 65536", self.batch);
        }
        ranks::refuse("bench solvers")?;
        let device = device::select(global)?;
        let subject = Subject::new(&self.preset, &self.set, device, self.precision.as_deref())?;
        let timesteps = subject.path.steps();
        if !(2..=timesteps).contains(&self.steps) {
            bail_usage!("--steps {}: expected 2 to {timesteps}", self.steps);
        }
        let methods: Vec<Method> = Method::NAMES
            .iter()
            .map(|name| name.parse())
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            // The networks of the presets predict no variance.
            .filter(|method| *method != Method::DdpmLearned)
            .collect();
        let bar = progress::bar(global, methods.len() as u64 + 1, "timing");
        // Warm up: the first run allocates memory and chooses kernels.
        self.time(&subject, methods[0])?;
        bar.inc(1);
        let mut rows = Vec::new();
        for method in methods {
            rows.push(self.time(&subject, method)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.report(&subject, &rows, global)
    }

    fn time(&self, subject: &Subject, method: Method) -> anyhow::Result<Row> {
        let sampler = |steps| {
            let config = SamplerConfig { steps, ..model::sampler_config(&subject.config.train, method) };
            Sampler::new(&*subject.path, &config)
        };
        let used = sampler(method.recommended_steps().map(|steps| steps.min(subject.path.steps())))?;
        let timed = sampler(Some(self.steps))?;

        let device = subject.net.device();
        let inside = Cell::new(Duration::ZERO);
        let network = model::predictor(&*subject.net, subject.precision.kind())?;
        let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
            finish(device);
            let begun = Instant::now();
            let output = network(x_t, t)?;
            finish(device);
            inside.set(inside.get() + begun.elapsed());
            Ok(output)
        };
        let [channels, height, width] = subject.image;
        let noise = Noise { seed: subject.config.seed, first_index: 0 };
        let x_start = noise.start([self.batch as i64, channels, height, width], device)?;
        let begun = Instant::now();
        let _images = timed.sample(&model, &x_start, &noise, &mut |_| Ok(()))?;
        finish(device);
        let all = begun.elapsed().as_secs_f64();
        Ok(Row {
            method,
            steps: used.steps(),
            calls: used.calls(),
            per_call: all / timed.calls() as f64,
            outside: (1.0 - inside.get().as_secs_f64() / all).max(0.0),
        })
    }

    fn report(&self, subject: &Subject, rows: &[Row], global: &Global) -> anyhow::Result<()> {
        let images_per_s = |row: &Row| self.batch as f64 / (row.per_call * row.calls as f64);
        let (threads, device) = (tch::get_num_threads(), device::name(subject.net.device()));
        let precision = subject.precision.name();
        let solvers: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "sampler": row.method.name(), "steps": row.steps, "calls": row.calls, "call_s": row.per_call,
                    "outside_network": row.outside, "images_per_s": images_per_s(row),
                })
            })
            .collect();
        let summary = json!({
            "what": "solvers", "preset": canonical(&self.preset), "batch": self.batch, "precision": precision,
            "threads": threads, "device": device, "timed_steps": self.steps, "samplers": solvers,
        });
        output::answer(global, &summary, || {
            let mut table = Table::new(&[
                "solver",
                ">steps",
                ">calls",
                ">ms per call",
                ">outside the network",
                ">images/s",
            ]);
            for row in rows {
                table.row([
                    row.method.name().to_owned(),
                    row.steps.to_string(),
                    row.calls.to_string(),
                    format!("{:.1}", row.per_call * 1e3),
                    format!("{:.2} %", row.outside * 100.0),
                    format!("{:.2}", images_per_s(row)),
                ]);
            }
            let threads = files::counted(threads, "thread");
            let about = format!("{}, batch {}, {precision} on {device}, {threads}", self.preset, self.batch);
            format!("ddpm bench solvers: {about}\n\n{table}")
        })
    }
}
