//! `ddpm compare`: several runs side by side.

mod page;
mod side;
mod tables;

use clap::Args;
use figures::{Figure, LossCurve};
use ndarray::Array4;
use serde_json::json;
use tracing::{info, warn};

use crate::commands::sampling::NoiseArgs;
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs, Weights};
use crate::model_source::Source;
use crate::paths::{self, InputPath, OutputFolder};
use crate::sampler_flags::SamplerArgs;
use crate::{device, model, output};
use side::Side;

/// The page.
const PAGE: &str = "compare.html";
/// The pictures.
const LOSS: &str = "01-loss.png";
const SAMPLES: &str = "02-samples.png";
/// Runs that one plot can tell apart by colour, at most.
const MOST_RUNS: usize = 6;
/// Samples per run, at most.
const MOST_SAMPLES: usize = 256;

/// Compares runs on one page: losses, samples from the same noise, metrics, configuration, cost.
#[derive(Debug, Args)]
#[command(
    after_help = "Writes compare.html, 01-loss.png and 02-samples.png. If the runs have images of one shape, image i \
of every run starts from the same noise. Solver, steps and seed apply to all runs. Metrics come \
from each run's newest evaluation (`ddpm evaluate`).

Examples:
  ddpm compare runs/eps runs/v
  ddpm compare runs/a runs/b --count 36 --sampler ddim --steps 50 --out out/ab"
)]
pub(crate) struct Compare {
    /// Run folders of `ddpm train`, 2 to 6; the newest valid checkpoint of each is used
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<InputPath>,
    /// Samples per run, 1 to 256
    #[arg(long, value_name = "N", default_value_t = 16)]
    count: usize,
    /// Solver for all runs, any of those of `ddpm sample`
    #[arg(long, value_name = "NAME", default_value = "dpmpp-2m")]
    sampler: String,
    /// Steps of the solver for all runs, 1 to T [default: all T for ddpm, 15 to 50 for the others]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    #[command(flatten)]
    noise: NoiseArgs,
    /// Weights to use: their average, or as trained
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    weights: Weights,
    /// Precision of the networks: auto, f32, tf32 or bf16
    #[arg(long, value_name = "KIND", default_value = "auto")]
    precision: String,
    /// Accept images that are larger than the weights suggest
    #[arg(long)]
    any_size: bool,
    /// Folder for compare.html and the pictures
    #[arg(long, value_name = "DIR", default_value = "out/compare")]
    out: OutputFolder,
}

impl Compare {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let sampler = SamplerArgs { steps: self.steps, ..SamplerArgs::named(&self.sampler, 1) };
        self.check(&sampler)?;
        output::try_folder("--out", &self.out, &[PAGE, LOSS, SAMPLES].map(str::to_owned))?;
        // Report a bad run folder before building the networks of the others.
        let found = self.runs.iter().map(|run| model::newest_checkpoint_of(run, "RUN"));
        let found = found.collect::<anyhow::Result<Vec<_>>>()?;
        let device = device::select(global)?;
        let args = ModelArgs {
            run: None,
            model: None,
            weights: self.weights,
            precision: self.precision.clone(),
            any_size: self.any_size,
            best: false,
            adapter: None,
        };
        let mut sides = Vec::new();
        for ((run, name), checkpoint) in self.runs.iter().zip(names(&self.runs)).zip(found) {
            let loaded = Source::of_checkpoint(&checkpoint, args.weights)
                .and_then(|source| model::Loaded::load(source, Some(run.to_path_buf()), &args, device))
                .map_err(|error| error.context(format!("RUN {}", run.display())))?;
            info!("{name}: step {}, {}", loaded.step, files::counted(self.count, "sample"));
            sides.push(Side::of(name, loaded, &sampler, (&self.noise, self.count), global)?);
        }
        self.write(&sides, device, global)
    }

    fn check(&self, sampler: &SamplerArgs) -> anyhow::Result<()> {
        let count = self.runs.len();
        if !(2..=MOST_RUNS).contains(&count) {
            bail_usage!("RUN: expected 2 to {MOST_RUNS} run folders to compare, found {count}");
        }
        if !(1..=MOST_SAMPLES).contains(&self.count) {
            bail_usage!("--count {}: expected 1 to {MOST_SAMPLES}", self.count);
        }
        self.noise.validate()?;
        sampler.check()
    }

    fn write(&self, sides: &[Side], device: tch::Device, global: &Global) -> anyhow::Result<()> {
        let differences = tables::differences(sides)?;
        let notes = tables::Notes::of(sides, &differences);
        notes.all().for_each(|note| warn!("{note}"));
        files::make_folder(&self.out)
            .map_err(|error| anyhow::Error::from(error).context(format!("--out {}", self.out.display())))?;
        let mut drawn = Vec::new();
        for figure in [loss(sides)?, Some(samples(sides)?)].into_iter().flatten() {
            figure.save(&self.out)?;
            drawn.push(figure);
        }
        let names: Vec<String> = drawn.iter().map(|figure| format!("{}.png", figure.name)).collect();
        let how = page::How {
            sampler: self.sampler.clone(),
            seed: self.noise.seed(),
            weights: self.weights,
            device,
        };
        let path = page::write(&self.out.join(PAGE), sides, drawn, &differences, &notes, &how)?;
        let keys = |(key, values): &tables::Difference| (key.clone(), json!(values));
        let summary = json!({
            "out": self.out, "page": paths::text(&path), "figures": names,
            "sampler": self.sampler, "seed": self.noise.seed(), "images": self.count,
            "runs": sides.iter().map(Side::summary).collect::<Vec<_>>(),
            "differences": differences.iter().map(keys).collect::<serde_json::Map<_, _>>(),
            "notes": notes.all().collect::<Vec<_>>(),
        });
        output::finish(global, &summary, || format!("{} runs: {}", sides.len(), path.display()))
    }
}

/// The runs' names on the page: the last part of each path, or the whole path where two runs share that part.
fn names(runs: &[InputPath]) -> Vec<String> {
    let last = |run: &InputPath| crate::commands::reporting::settings::name_of(run);
    let is_shared = |run: &InputPath| runs.iter().filter(|other| last(other) == last(run)).count() > 1;
    let mut names: Vec<String> = Vec::new();
    for run in runs {
        let name = if is_shared(run) { paths::text(run) } else { last(run) };
        let before = runs[..names.len()].iter().filter(|other| other.as_os_str() == run.as_os_str()).count();
        names.push(if before == 0 { name } else { format!("{name} ({})", before + 1) });
    }
    names
}

/// Plots the losses of the runs that logged any.
fn loss(sides: &[Side]) -> anyhow::Result<Option<Figure>> {
    let logs: Vec<(Vec<u64>, Vec<f64>)> = sides
        .iter()
        .map(|side| side.records.iter().map(|record| (record.step, record.loss)).unzip())
        .collect();
    let with_logs = sides.iter().zip(&logs).filter(|(_, (steps, _))| !steps.is_empty());
    let curves: Vec<LossCurve<'_>> = with_logs
        .map(|(side, (steps, losses))| LossCurve {
            name: &side.name,
            steps,
            batch: side.config.train.batch,
            losses,
        })
        .collect();
    Ok(if curves.is_empty() { None } else { Some(figures::loss_curves(&curves)?) })
}

fn samples(sides: &[Side]) -> anyhow::Result<Figure> {
    let grids: Vec<_> = sides.iter().map(|side| (side.name.as_str(), Array4::view(&side.samples))).collect();
    figures::sample_grids(&grids).map_err(|error| match error {
        figures::FiguresError::TooLarge { .. } => usage(anyhow::anyhow!("--count: {error}; draw fewer")),
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_called_by_their_folder_where_that_tells_them_apart() {
        let of = |paths: &[&str]| {
            let runs: Vec<InputPath> =
                paths.iter().map(|path| InputPath::from(std::path::PathBuf::from(path))).collect();
            names(&runs)
        };
        assert_eq!(of(&["runs/a", "runs/b"]), ["a", "b"]);
        assert_eq!(of(&["x/a", "y/a", "y/b"]), ["x/a", "y/a", "b"]);
        assert_eq!(of(&["a", "a"]), ["a", "a (2)"]);
    }
}
