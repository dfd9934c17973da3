//! The report page: figures, sliders, metrics, cost and configuration.

use std::path::{Path, PathBuf};

use figures::{Block, Figure, Report, Section};
use tracing::warn;

use crate::commands::figures::subject::Subject;
use crate::commands::figures::summary;
use crate::commands::reporting::{evaluations, scores, settings};
use crate::flags::Weights;

/// The contents drawn for the page.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) figures: Vec<Figure>,
    /// Sections with sliders.
    pub(super) sliders: Vec<Section>,
}

/// Writes report.html; `left_out` lists the skipped figures with the reasons.
pub(super) fn write(
    folder: &Path,
    subject: &Subject,
    drawn: Drawn,
    left_out: &[(String, &str)],
    (weights, seed): (Weights, u64),
) -> anyhow::Result<PathBuf> {
    let introduction = match &subject.loaded {
        Some(_) => {
            "A denoising diffusion model (Ho et al. 2020). Each figure has the equation it illustrates and the command that \
                    draws it. The timestep t counts from 0 to T − 1; \
                    the paper counts from 1, and in the equations, as in the paper, x₀ is the image itself."
        }
        None => {
            "The forward process of denoising diffusion (Ho et al. 2020) on the embedded images. Each figure has \
                 the equation it illustrates and the command that draws it. The timestep t counts from 0 to T − 1; the paper counts from 1."
        }
    };
    let title = if subject.loaded.is_some() { "Diffusion model: report" } else { "Forward process: report" };
    let mut sections = drawn.sliders;
    sections.extend(metrics(subject));
    sections.extend(drawn.figures.into_iter().map(Section::from));
    if !left_out.is_empty() {
        let text =
            |(numbers, reason): &(String, &str)| Block::Text(format!("Left out: {numbers}; {reason}."));
        sections.push(Section::new("left-out", "Left out", left_out.iter().map(text).collect()));
    }
    sections.extend(cost(subject, seed));
    if let Some(loaded) = &subject.loaded {
        let listing = vec![Block::Listing(settings::listing(&loaded.config)?)];
        let title = "config.toml: every setting that affects what the run computes".to_owned();
        let blocks = vec![Block::Folded { title, open: false, blocks: listing }];
        sections.push(Section::new("configuration", "Configuration", blocks));
    }
    let summary = summary::summary(subject, weights);
    let report = Report { title, introduction, summary: &summary, sections: &sections };
    let path = folder.join("report.html");
    report.save(&path)?;
    Ok(path)
}

/// The newest evaluation, and the training images nearest to samples.
fn metrics(subject: &Subject) -> Vec<Section> {
    let Some((loaded, run)) = subject.loaded.as_ref().and_then(|loaded| Some((loaded, loaded.run.as_ref()?)))
    else {
        return Vec::new();
    };
    let evaluation = match &subject.evaluation {
        Ok(Some(evaluation)) => evaluation,
        Ok(None) => {
            let text = "This run has not been evaluated yet; run `ddpm evaluate --run` to measure how close its samples are to \
                        real images.";
            return vec![Section::new("metrics", "Metrics", vec![Block::Text(text.to_owned())])];
        }
        Err(reason) => return vec![Section::new("metrics", "Metrics", vec![Block::Note(reason.clone())])],
    };
    let mut sections = vec![scores::section(evaluation, loaded.step)];
    let nearest = evaluation.step.map_or(Ok(None), |step| evaluations::nearest(run, step));
    match nearest {
        Ok(Some(png)) => {
            let title = "Nearest training images";
            let caption = "Samples, each with its nearest training image. If a network repeats its \
                           training images, the two pictures are the same.";
            let picture =
                Block::Picture { alt: title.to_owned(), caption: caption.to_owned(), png, dark: None };
            sections.push(Section::new("nearest", title, vec![picture]));
        }
        Ok(None) => {}
        Err(error) => warn!("{error:#}"),
    }
    sections
}

fn cost(subject: &Subject, seed: u64) -> Option<Section> {
    let facts = summary::cost(subject, seed)?;
    let text = "Arithmetic: 2 operations per multiply-add of convolutions, linear layers and attention, forward and \
                backward. Time covers the training steps only, as logged in metrics.jsonl.";
    let blocks = vec![Block::Facts(facts), Block::Text(text.to_owned())];
    Some(Section::new("cost", "Cost and machine", blocks))
}
