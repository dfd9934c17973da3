//! `docs/finetuning/mnist-N.json`, and the table made of it.

use std::fmt::Write;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::machine::Origin;

/// The content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Demo {
    pub(super) digit: u8,
    /// Training images.
    pub(super) images: u64,
    pub(super) held_out: u64,
    pub(super) steps: u64,
    pub(super) seed: u64,
    pub(super) runs: Vec<Side>,
    pub(super) origin: Origin,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) name: String,
    /// As it was passed.
    pub(super) learning_rate: String,
    /// Seconds of the steps.
    pub(super) seconds: f64,
    pub(super) losses: Vec<Loss>,
}

/// The loss on held-out images after a step: the mean squared error of eps over the tenths of the path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Loss {
    pub(super) step: u64,
    pub(super) loss: f64,
}

/// The page as Markdown.
pub(super) fn page(demo: &Demo) -> anyhow::Result<String> {
    let digit = demo.digit;
    let mut text = format!(
        "# Fine-tuning on {} images of the digit {digit}\n\
         `cargo xtask finetune-demo` wrote this page from [mnist-{digit}.json](mnist-{digit}.json). Both runs have the network of \
         the shipped model, the same images, {} steps of 32 and seed {}. One starts from the shipped model, the other from \
         scratch.\n\n\
         The loss is that of the averaged weights on {} held-out images: the mean squared error of eps, over the tenths of the \
         path.\n\n| step |",
        demo.images, demo.steps, demo.seed, demo.held_out
    );
    for run in &demo.runs {
        write!(text, " {}, learning rate {} |", run.name, run.learning_rate)?;
    }
    writeln!(text, "\n|---:|{}", "---:|".repeat(demo.runs.len()))?;
    let first = demo.runs.first().context("there are no runs")?;
    for Loss { step, .. } in &first.losses {
        write!(text, "| {step} |")?;
        for run in &demo.runs {
            match run.losses.iter().find(|loss| loss.step == *step) {
                Some(loss) => write!(text, " {:.4} |", loss.loss)?,
                None => write!(text, " - |")?,
            }
        }
        text.push('\n');
    }
    let times: Vec<String> =
        demo.runs.iter().map(|run| format!("{} {:.0} s", run.name, run.seconds)).collect();
    let origin = &demo.origin;
    write!(
        text,
        "\n![samples](mnist-{digit}.png)\n\n*Samples of both runs from the same noise, not selected.*\n\n\
         Time of the steps: {}. Measured on {} at commit {}, {}.\n",
        times.join(", "),
        origin.machine,
        origin.commit,
        origin.date
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_a_step_and_a_column_a_run() {
        let side = |name: &str, losses: &[(u64, f64)]| Side {
            name: name.to_owned(),
            learning_rate: "3e-4".to_owned(),
            seconds: 12.3,
            losses: losses.iter().map(|&(step, loss)| Loss { step, loss }).collect(),
        };
        let text = |text: &str| text.to_owned();
        let demo = Demo {
            digit: 7,
            images: 200,
            held_out: 256,
            steps: 100,
            seed: 0,
            runs: vec![side("fine-tuned", &[(50, 0.25), (100, 0.125)]), side("from-scratch", &[(50, 0.5)])],
            origin: Origin { commit: text("abc"), machine: text("a CPU"), date: text("2026-11-30") },
        };
        let page = page(&demo).unwrap();
        for line in [
            "| step | fine-tuned, learning rate 3e-4 | from-scratch, learning rate 3e-4 |",
            "|---:|---:|---:|",
            "| 50 | 0.2500 | 0.5000 |",
            "| 100 | 0.1250 | - |",
        ] {
            assert!(page.lines().any(|of_page| of_page == line), "{line}\n{page}");
        }
        assert!(
            page.contains("fine-tuned 12 s, from-scratch 12 s. Measured on a CPU at commit abc"),
            "{page}"
        );
        let back: Demo = serde_json::from_str(&serde_json::to_string(&demo).unwrap()).unwrap();
        assert_eq!(back, demo);
    }
}
