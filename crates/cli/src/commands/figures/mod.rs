//! `ddpm figures`: every figure of the report, and the report page.

mod ablation;
mod about;
mod bits;
mod convergence;
mod edits;
mod forward;
mod guidance;
mod one_step;
mod only;
mod page;
mod plan;
mod sampling;
mod scaling;
mod sliders;
mod solvers;
mod subject;
mod summary;
mod tables;
mod times;
mod training;
mod variations;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, bail};
use clap::Args;
use figures::Figure;
use serde_json::json;
use tracing::{info, warn};

use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::output;
use crate::paths;
use crate::paths::{DataSource, InputPath, OutputFolder};
use edits::Edits;
use page::Drawn;
use plan::{Plan, Wishes};
use sampling::Sampling;
use subject::Subject;

pub(crate) use ablation::DrawAblation;
pub(crate) use scaling::DrawScaling;

/// Draws the figures of a run and collects them in report.html. Without a trained run, draws the first five for the
/// embedded images.
///
/// 1 schedules, 2 forward process, 3 step by step and in one jump, 4 pixel histograms, 5 time embedding,
/// 6 loss, 7 samples, 8 trajectories, 9 both variances, 10 variations, 11 fewer steps, 12 solvers,
/// 13 fast and slow, 14 convergence, 15 guidance, 16 interpolation,
/// 17 inpainting, 18 encoding, 19 upscaling, 20 bits by timestep.
#[derive(Debug, Args)]
#[command(
    after_help = "Figures: 1 schedules, 2 forward process, 3 step by step and in one jump, 4 pixel histograms, 5 \
time embedding, 6 loss, 7 samples, 8 trajectories, 9 both variances, 10 variations, 11 fewer \
steps, 12 solvers, 13 fast and slow, 14 convergence, 15 guidance, 16 interpolation, 17 inpainting, \
18 encoding, 19 upscaling, 20 bits by timestep.
Without a trained run, draws the first five for the embedded images.

Examples:
  ddpm figures
  ddpm figures --run runs/mine --only 7,10 --out out/mine"
)]
pub(crate) struct Figures {
    #[command(flatten)]
    model: ModelArgs,
    /// The images of the run, if they have moved [default: the recorded place, if the hash agrees]
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Draw these figures only: numbers and ranges such as 1,2,7-9
    #[arg(long, value_name = "LIST")]
    only: Option<String>,
    /// Seed; the same seed gives the same figures
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Images in figure 7 [default: 64]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Steps in figures 7 and 10 [default: all T on a GPU, 250 on a CPU]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Run for figure 15 if the network of the others has no classes [default: the newest with classes in runs/ if neither
    /// run nor model is named]
    #[arg(long, value_name = "DIR")]
    class_run: Option<InputPath>,
    /// Draw fewer images and use short chains, for a first look
    #[arg(long)]
    quick: bool,
    /// Folder for the pictures, those for dark pages in dark/, and report.html
    #[arg(long, value_name = "DIR", default_value = "out/figures")]
    out: OutputFolder,
}

/// Where the pictures for dark pages are, in the folder of the others.
const DARK: &str = "dark";

/// A figure that could not be drawn, and why.
struct Skipped {
    figure: usize,
    reason: String,
}

impl Figures {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let wanted = only::parse(self.only.as_deref())?;
        output::try_folder("--out", &self.out, &["report.html".to_owned()])?;
        output::try_folder("--out", &self.out.join(DARK), &[])?;
        if let Some(run) = self.class_run.as_deref().filter(|_| wanted.contains(&15)) {
            guidance::check(run)?;
        }
        let subject = Subject::open(&self.model, self.data.as_deref(), global)?;
        let on_gpu = subject.loaded.as_ref().is_some_and(|loaded| loaded.device.is_cuda());
        let wishes = Wishes { samples: self.samples, steps: self.steps, quick: self.quick };
        let plan = Plan::new(subject.schedule.steps(), on_gpu, wishes)?;
        let is_new = !self.out.exists();
        files::make_folder(&self.out).with_context(|| format!("--out {}", self.out.display()))?;

        let (drawn, skipped) = self.draw_all(&subject, &plan, &wanted, global)?;
        if let (true, Some(first)) = (drawn.figures.is_empty(), skipped.first()) {
            if is_new {
                // Remove the folder if it is empty.
                let _ = fs::remove_dir(&self.out);
            }
            bail!("nothing to draw: {}", first.reason);
        }
        let left_out = grouped(&skipped);
        for (numbers, reason) in &left_out {
            warn!("skipped {numbers}: {reason}");
        }
        let names: Vec<String> = drawn.figures.iter().map(|figure| format!("{}.png", figure.name)).collect();
        let report = page::write(&self.out, &subject, drawn, &left_out, (self.model.weights, self.seed))?;
        let summary = json!({
            "out": self.out, "page": paths::text(&report),
            "run": subject.loaded.as_ref().and_then(|loaded| loaded.run.as_deref()).map(paths::text),
            "step": subject.loaded.as_ref().map(|loaded| loaded.step),
            "figures": names,
            "skipped": skipped.iter().map(|s| json!({ "figure": s.figure, "reason": s.reason })).collect::<Vec<_>>(),
        });
        output::finish(global, &summary, || {
            format!("{}: {}", files::counted(names.len(), "figure"), report.display())
        })
    }

    /// Draws and saves the figures in the order of the report.
    fn draw_all(
        &self,
        subject: &Subject,
        plan: &Plan,
        wanted: &BTreeSet<usize>,
        global: &Global,
    ) -> anyhow::Result<(Drawn, Vec<Skipped>)> {
        let sampling =
            subject.loaded.as_ref().map(|loaded| Sampling::new(loaded, plan, self.seed, wanted, global));
        let (mut drawn, mut skipped) = (Drawn::default(), Vec::new());
        for &number in wanted {
            let result = self.draw(number, subject, plan, sampling.as_ref(), global);
            match result.with_context(|| format!("figure {number}"))? {
                Ok(mut figure) => {
                    if figure.about.is_empty() {
                        figure.about = self.about(number, subject, subject.loaded.as_ref(), plan)?;
                    }
                    let path = figure.save(&self.out)?;
                    figure.save_dark(&self.out.join(DARK))?;
                    info!("figure {number}: {}", path.display());
                    drawn.figures.push(figure);
                    match (number, &sampling) {
                        (2, _) => drawn.sliders.extend(sliders::forward(subject, self.seed)?),
                        (8, Some(sampling)) => drawn.sliders.push(sliders::denoising(sampling)?),
                        _ => {}
                    }
                }
                Err(reason) => skipped.push(Skipped { figure: number, reason }),
            }
        }
        Ok((drawn, skipped))
    }

    /// Draws one figure, or gives the reason for leaving it out.
    fn draw(
        &self,
        number: usize,
        subject: &Subject,
        plan: &Plan,
        sampling: Option<&Sampling<'_>>,
        global: &Global,
    ) -> anyhow::Result<Result<Figure, String>> {
        let (schedule, seed) = (&subject.schedule, self.seed);
        let needs_data = matches!(number, 2..=4 | 10 | 16..=19);
        let data = match (&subject.data, needs_data) {
            (Err(reason), true) => return Ok(Err(reason.clone())),
            (data, _) => data.as_ref().ok(),
        };
        match (number, data) {
            (1, _) => return tables::schedules(subject).map(Ok),
            (2, Some(data)) => return forward::strips(schedule, data, seed).map(Ok),
            (3, Some(data)) => return one_step::one_step(schedule, data, plan.numbers, seed).map(Ok),
            (4, Some(data)) => return forward::histograms(schedule, data, seed).map(Ok),
            (5, _) => return tables::embedding(subject).map(Ok),
            _ => {}
        }
        let (Some(sampling), Some(loaded)) = (sampling, &subject.loaded) else {
            let how =
                "there is no trained network; train one with `ddpm train`, or name its folder with --run";
            return Ok(Err(how.to_owned()));
        };
        match number {
            6 if loaded.run.is_none() => {
                Ok(Err("a checkpoint alone has no log; name the run folder with --run".to_owned()))
            }
            6 => training::loss(&subject.records, schedule.steps(), &loaded.config.train),
            7 => sampling.samples(self.model.weights).map(Ok),
            8 => sampling.trajectories().map(Ok),
            9 => sampling.sigmas().map(Ok),
            10 => variations::variations(subject, loaded, plan, seed, global).map(Ok),
            11 => sampling.fewer_steps().map(Ok),
            12 => sampling.solvers().map(Ok),
            13 => sampling.fast_and_slow().map(Ok),
            14 => sampling.convergence().map(Ok),
            15 => {
                let about = |loaded: &Loaded| self.about(number, subject, Some(loaded), plan);
                guidance::guidance(loaded, self.other(), (plan, seed), &about, global)
            }
            20 => bits::bits(subject),
            _ => {
                let edits = Edits::new(subject, loaded, plan, seed, global)?;
                match number {
                    16 => edits.interpolation().map(Ok),
                    17 => edits.inpainting().map(Ok),
                    18 => edits.encoding().map(Ok),
                    _ => edits.upscaling(),
                }
            }
        }
    }
}

/// Neighbouring figures skipped for the same reason, as "figures 6, 7" and the reason.
fn grouped(skipped: &[Skipped]) -> Vec<(String, &str)> {
    let same = |a: &Skipped, b: &Skipped| a.reason == b.reason;
    let numbers = |group: &[Skipped]| {
        let list: Vec<String> = group.iter().map(|skipped| skipped.figure.to_string()).collect();
        format!("{} {}", files::noun_of(list.len(), "figure"), list.join(", "))
    };
    skipped.chunk_by(same).map(|group| (numbers(group), group[0].reason.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_reason() {
        let skipped = |figure, reason: &str| Skipped { figure, reason: reason.to_owned() };
        let all = [skipped(2, "a"), skipped(6, "b"), skipped(7, "b")];
        assert_eq!(grouped(&all), [("figure 2".to_owned(), "a"), ("figures 6, 7".to_owned(), "b")]);
    }
}
