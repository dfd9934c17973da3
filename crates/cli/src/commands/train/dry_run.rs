//! `ddpm train --dry-run`: what would be trained, and how long it would take, measured on a few steps that leave no trace.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, anyhow};
use dataset::BatchPlan;
use files::AvailableMemory;
use serde_json::json;
use tch::{Device, Kind, Tensor};
use tracing::info;
use trainer::{BoxError, Trainer};
use unet::{Backbone, Pass};

use super::feed::{self, Feed};
use super::{Plan, facts};
use crate::commands::bench::timing::{self, Timings};
use crate::commands::inspect::table::{Table, bytes};
use crate::device::Precision;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::memory;
use crate::{networks, output, paths, screen};

/// Warm-up steps before timing, and the most and the fewest timed steps.
const WARM_UP: u64 = 2;
const MOST: u64 = 20;
const FEWEST: u64 = 2;
/// No further step starts after this many seconds.
const PATIENCE: f64 = 10.0;
/// Images in the preview.
const SHOWN: usize = 64;

/// Measurements of the steps.
struct Measured {
    /// Seconds per step.
    step: f64,
    /// Seconds per network call on the images of a grid.
    call: f64,
    /// Peak memory of this process, in bytes; Linux only.
    peak: Option<u64>,
    /// Number of trained parameters, and of all parameters of the network.
    parameters: (usize, usize),
}

impl Plan {
    /// Measures and reports. Writes the preview and nothing else.
    pub(super) fn dry_run(&self, preview: &Path, device: Device, global: &Global) -> anyhow::Result<()> {
        if !preview.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
            bail_usage!("--preview {}: expected a name that ends in .png", preview.display());
        }
        output::try_file("--preview", preview)?;
        let (config, train) = (&self.config, &self.config.train);
        // The same limit as in training: what does not fit is an error there too.
        let _limit = memory::limit(device);
        if train.micro_batch == 0 {
            memory::keep_freed();
        }
        let plan = feed::plan(config, self.dataset.len())?;
        self.preview(&plan, preview)?;
        let done = self.done()?;
        info!("trying a few steps");
        let measured = self.measure(plan, device)?;
        let steps = train.steps.saturating_sub(done.unwrap_or(0));
        let every = |interval: u64| steps.checked_div(interval).unwrap_or(0);
        let (evaluations, grids) = (every(train.evaluate_every), every(train.sample_every));
        let of_steps = measured.step * steps as f64;
        let of_grid = measured.call * config.sample.steps as f64;
        let of_grids = of_grid * grids as f64;
        let (mut rows, data) = facts::of_data(&self.dataset, config);
        let said = json!({
            "run": paths::text(&self.run), "dataset": data, "parameters": measured.parameters.1,
            "trained_parameters": measured.parameters.0, "steps": train.steps, "step": done,
            "step_s": measured.step, "grids": grids, "grid_s": of_grid, "evaluations": evaluations,
            "seconds": of_steps + of_grids, "peak_mib": measured.peak.map(|bytes| bytes as f64 / f64::from(1 << 20)), "preview": paths::text(preview),
        });
        output::answer(global, &said, || {
            rows.extend(facts::of_training(config, measured.parameters, self.dataset.len()));
            rows.push(("memory", memory(measured.peak, device)));
            let machine = if device.is_cuda() { "GPU" } else { "processor" };
            let (all, one) = (duration(of_steps), duration(measured.step));
            rows.push((
                "time",
                format!("{all} for {} of {one} on this {machine}", files::counted(steps, "step")),
            ));
            if grids > 0 {
                let count = output::images(config.sample.count);
                rows.push(("grids", format!("{} more for {grids} of {count} each", duration(of_grids))));
            }
            if evaluations > 0 {
                rows.push(("evaluations", format!("{evaluations}, not included in the time")));
            }
            rows.push(("preview", preview.display().to_string()));
            let state = match done {
                Some(done) => {
                    format!("{done} of {} done; nothing was changed", files::counted(train.steps, "step"))
                }
                None => "which was not made".to_owned(),
            };
            rows.push(("run", format!("{}, {state}", self.run.display())));
            Table::facts(rows).within(screen::width()).to_string()
        })
    }

    /// Steps of the existing run, if there is one.
    fn done(&self) -> anyhow::Result<Option<u64>> {
        if !trainer::is_run(&self.run)? {
            return Ok(None);
        }
        let (newest, _) = trainer::latest_checkpoint(&self.run.join("checkpoints"))?;
        Ok(Some(newest.map_or(0, |checkpoint| checkpoint.state.step)))
    }

    /// Shows the first images as the network sees them: cut, resized, mirrored, with their border.
    fn preview(&self, plan: &BatchPlan, path: &Path) -> anyhow::Result<()> {
        let mut images = Vec::new();
        for step in 0..SHOWN.div_ceil(self.config.train.batch) as u64 {
            images.push(dataset::from_model(plan.batch(&self.dataset, step)?.images.view()));
        }
        let views: Vec<_> = images.iter().map(ndarray::Array4::view).collect();
        let mut all = ndarray::concatenate(ndarray::Axis(0), &views)?;
        all.slice_axis_inplace(ndarray::Axis(0), (..SHOWN.min(all.len_of(ndarray::Axis(0)))).into());
        files::write_output(path, &output::grid_png(&all)?)
            .with_context(|| format!("--preview {}", path.display()))
    }

    fn measure(&self, plan: BatchPlan, device: Device) -> anyhow::Result<Measured> {
        let config = &self.config;
        let path = config.schedule.path()?;
        let net = networks::build(&config.model, path.steps(), device, config.seed)?;
        let mut trainer = Trainer::new(net.params(), &*path, &config.train, config.seed, device)?;
        let mut feed = Feed::new(&self.dataset, plan, config.model.classes.is_some(), 0)?;
        let kind = Precision::settle(&config.precision, device)?.kind();
        let pass = Pass::train().with_kind(kind).with_checkpoints(config.train.checkpoint_activations);
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(net.forward(x_t, t, labels, &pass)?)
        };
        let (begun, mut seconds) = (Instant::now(), Vec::new());
        for step in 0..WARM_UP + MOST {
            let batch = feed.batch(step).map_err(|error| anyhow!("{error}"))?;
            let start = Instant::now();
            let _ = trainer.train_step(&batch, &model)?;
            if step >= WARM_UP {
                seconds.push(start.elapsed().as_secs_f64());
            }
            if begun.elapsed().as_secs_f64() > PATIENCE && seconds.len() as u64 >= FEWEST {
                break;
            }
        }
        let step = Timings { first_after: 0.0, seconds }.median();
        Ok(Measured {
            step,
            call: self.call(&*net, (kind, device))?,
            peak: timing::peak_mib().map(|mib| (mib * 1024.0 * 1024.0) as u64),
            parameters: trainer.trained_numbers(),
        })
    }

    /// Seconds of a network call on the images of a grid, with as many images at a time as in a step.
    fn call(&self, net: &dyn Backbone, (kind, device): (Kind, Device)) -> anyhow::Result<f64> {
        let (model, count) = (&self.config.model, self.config.sample.count);
        let part = count.min(self.config.train.batch).max(1);
        let (height, width, _) = self.dataset.shape();
        let shape = [part, model.in_channels, height, width].map(|n| n as i64);
        let _no_grad = tch::no_grad_guard();
        let x = Tensor::f_zeros(shape, (Kind::Float, device))?;
        let t = Tensor::f_zeros([part as i64], (Kind::Int64, device))?;
        let mut seconds = Vec::new();
        for call in 0..3 {
            let start = Instant::now();
            let out = net.forward(&x, &t, None, &Pass::eval().with_kind(kind))?;
            // This waits for a GPU.
            let _ = f64::try_from(out.f_sum(Kind::Float)?)?;
            if call > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(Timings { first_after: 0.0, seconds }.median() * count as f64 / part as f64)
    }
}

fn memory(peak: Option<u64>, device: Device) -> String {
    let peak = peak.map_or("unknown".to_owned(), |peak| format!("{} at most", bytes(peak)));
    match AvailableMemory::now().filter(|_| device == Device::Cpu) {
        Some(now) => format!("{peak}; {} more are free now", bytes(now.bytes)),
        None => format!("{peak} on the host"),
    }
}

/// A time span in convenient units.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 100.0 * 60.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_convenient_units() {
        for (seconds, text) in [
            (0.012, "12 ms"),
            (99.0, "99.0 s"),
            (480.0, "8 min"),
            (6000.0, "1.7 h"),
            (7200.0, "2.0 h"),
            (1_900_000.0, "22.0 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
