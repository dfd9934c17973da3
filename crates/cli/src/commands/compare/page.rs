//! The page of a comparison.

use std::path::{Path, PathBuf};

use figures::{Block, Figure, Report, Section};
use tch::Device;

use crate::commands::compare::side::Side;
use crate::commands::compare::tables::{self, Difference, Notes};
use crate::commands::reporting::{machine, scores};
use crate::flags::Weights;

/// How the samples were drawn.
pub(super) struct How {
    pub(super) sampler: String,
    pub(super) seed: u64,
    pub(super) weights: Weights,
    pub(super) device: Device,
}

/// Writes the page with its pictures.
pub(super) fn write(
    path: &Path,
    sides: &[Side],
    drawn: Vec<Figure>,
    differences: &[Difference],
    notes: &Notes,
    how: &How,
) -> anyhow::Result<PathBuf> {
    let mut sections = Vec::new();
    for mut figure in drawn {
        let noted = match figure.name {
            "01-loss" => &notes.loss,
            _ => {
                figure.caption.push_str(&words(how, sides));
                &notes.samples
            }
        };
        let mut section = Section::from(figure);
        section.blocks.splice(0..0, noted.iter().cloned().map(Block::Note));
        sections.push(section);
    }
    sections.push(metrics(sides, notes));
    let mut blocks = Vec::new();
    if differences.is_empty() {
        blocks.push(Block::Text("The configurations are the same.".to_owned()));
    } else {
        blocks.push(Block::Table(tables::configuration(sides, differences)));
    }
    sections.push(Section::new("configuration", "What differs in the configuration", blocks));
    let cost = vec![
        Block::Table(tables::facts(sides, |side| side.cost.facts())),
        Block::Text(
            "Arithmetic: 2 operations per multiply-add of convolutions, linear layers and attention, forward and backward. \
             Time covers the training steps only, as logged in metrics.jsonl; it can be compared between runs on the same \
             machine."
                .to_owned(),
        ),
    ];
    sections.push(Section::new("cost", "Cost", cost));

    let names = sides.iter().map(|side| side.name.as_str()).collect::<Vec<_>>().join(", ");
    let weights = if how.weights == Weights::Raw { "as trained" } else { "averaged (EMA)" };
    let mut summary = vec![("runs".to_owned(), names.clone())];
    for side in sides {
        summary.push((side.name.clone(), format!("step {}", side.step)));
    }
    summary.push(("weights".to_owned(), weights.to_owned()));
    summary.push(("machine of this page".to_owned(), machine::describe(how.device)));
    let title = format!("Comparison: {names}");
    let introduction = "Runs side by side: their losses, samples from the same noise, the metrics of their newest \
                        evaluations, the differences in their configurations, and their cost.";
    Report { title: &title, introduction, summary: &summary, sections: &sections }.save(path)?;
    Ok(path.to_owned())
}

fn words(how: &How, sides: &[Side]) -> String {
    let steps = sides.iter().map(|side| side.sampling_steps).max().unwrap_or(0);
    format!(" {}, {}, seed {}.", how.sampler, files::counted(steps, "step"), how.seed)
}

fn metrics(sides: &[Side], notes: &Notes) -> Section {
    let mut blocks: Vec<Block> = notes.metrics.iter().cloned().map(Block::Note).collect();
    if sides.iter().all(|side| side.evaluated().is_none()) {
        let text = "None of the runs has been evaluated yet; run `ddpm evaluate --run`.";
        blocks.push(Block::Text(text.to_owned()));
        return Section::new("metrics", "Metrics", blocks);
    }
    blocks.push(Block::Table(tables::metrics(sides)));
    let text = "In brackets: 95 % intervals. ★ marks the best of a row, where the evaluations can be compared; two numbers \
                whose intervals overlap may well be equal.";
    blocks.push(Block::Text(text.to_owned()));
    let conditions = |side: &Side| side.evaluated().map(scores::conditions).unwrap_or_default();
    let table = Block::Table(tables::facts(sides, conditions));
    let title = "How each was evaluated".to_owned();
    blocks.push(Block::Folded { title, open: !notes.metrics.is_empty(), blocks: vec![table] });
    Section::new("metrics", "Metrics", blocks)
}
