//! Results of recipes: `recipes/receipts.json`, and the page `recipes/RECEIPTS.md` made from it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::index::{FOLDER, Index};
use crate::json_file::{read_json, write_json};
use crate::machine::Origin;
use crate::metric::Metric;

/// Receipts by recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Receipts(BTreeMap<String, Receipt>);

/// The result of one recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// Title of the metric.
    pub(super) title: String,
    /// One training per seed.
    pub(super) runs: Vec<SeedReceipt>,
    /// Flags of the evaluation.
    pub(super) evaluate: Vec<String>,
    pub(super) origin: Origin,
}

/// A training with a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeedReceipt {
    pub(super) seed: u64,
    pub(super) value: f64,
    /// The 95 % interval of the metric.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) steps: u64,
    /// Seconds of the steps, without checkpoints and grids.
    pub(super) seconds: f64,
}

/// How a training compares with a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Their intervals overlap.
    Agrees,
    Better,
    Worse,
}

impl SeedReceipt {
    pub(super) fn new(seed: u64, metric: &Metric, (steps, seconds): (u64, f64)) -> Self {
        let (low, high) = metric.interval.unwrap_or((metric.value, metric.value));
        Self { seed, value: metric.value, low, high, steps, seconds }
    }
}

impl Receipt {
    /// From the lowest end of the seeds' intervals to the highest.
    pub(super) fn interval(&self) -> (f64, f64) {
        let low = self.runs.iter().map(|run| run.low).fold(f64::INFINITY, f64::min);
        let high = self.runs.iter().map(|run| run.high).fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }

    /// Compares a training; a smaller distance is better.
    pub(super) fn verdict(&self, run: &SeedReceipt) -> Verdict {
        let (low, high) = self.interval();
        match run {
            run if run.high < low => Verdict::Better,
            run if run.low > high => Verdict::Worse,
            _ => Verdict::Agrees,
        }
    }

    fn mean(&self, of: fn(&SeedReceipt) -> f64) -> f64 {
        self.runs.iter().map(of).sum::<f64>() / self.runs.len() as f64
    }
}

impl Receipts {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        Ok(read_json(&root.join(FOLDER).join("receipts.json"))?.unwrap_or_default())
    }

    pub(super) fn of(&self, name: &str) -> Option<&Receipt> {
        self.0.get(name)
    }

    /// Writes both files with this receipt in them.
    pub(super) fn keep(mut self, root: &Path, name: &str, receipt: Receipt) -> anyhow::Result<()> {
        self.0.insert(name.to_owned(), receipt);
        let folder = root.join(FOLDER);
        write_json(&folder.join("receipts.json"), &self)?;
        let page = self.page(&Index::read(root)?)?;
        Ok(files::write_atomic(&folder.join("RECEIPTS.md"), page.as_bytes())?)
    }

    /// The page: one line per recipe, in the order of the index.
    pub(super) fn page(&self, index: &Index) -> anyhow::Result<String> {
        let mut page = String::from(
            "# Receipts\nResults of the recipes, written by `cargo xtask recipe NAME --write`. The interval goes from the lowest \
             to the highest end of the seeds' 95 % intervals; time is that of the steps of one training.\n\n\
             | recipe | measured | value | interval | seeds | steps | time | commit | date | machine |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for recipe in &index.recipes {
            let name = &recipe.name;
            let Some(receipt) = self.of(name) else {
                writeln!(page, "| {name} | not run here | | | | | | | | |")?;
                continue;
            };
            let ((low, high), origin) = (receipt.interval(), &receipt.origin);
            let seeds: Vec<String> = receipt.runs.iter().map(|run| run.seed.to_string()).collect();
            writeln!(
                page,
                "| {name} | {} (`{}`) | {:.2} | {low:.2} to {high:.2} | {} | {} | {:.1} min | {} | {} | {} |",
                receipt.title,
                receipt.evaluate.join(" "),
                receipt.mean(|run| run.value),
                seeds.join(", "),
                receipt.runs.first().map_or(0, |run| run.steps),
                receipt.mean(|run| run.seconds) / 60.0,
                origin.commit,
                origin.date,
                origin.machine,
            )?;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    fn run(seed: u64, low: f64, high: f64) -> SeedReceipt {
        SeedReceipt { seed, value: (low + high) / 2.0, low, high, steps: 10, seconds: 120.0 }
    }

    fn receipt() -> Receipt {
        let text = |text: &str| text.to_owned();
        let origin = Origin { commit: text("abc"), machine: text("a CPU"), date: text("2026-11-30") };
        let evaluate = vec![text("--n"), text("9")];
        Receipt { title: text("FD"), runs: vec![run(0, 4.0, 5.0), run(1, 4.5, 6.0)], evaluate, origin }
    }

    #[test]
    fn a_training_agrees_where_intervals_meet() {
        let receipt = receipt();
        assert_eq!(receipt.interval(), (4.0, 6.0));
        for (low, high, verdict) in [
            (5.9, 7.0, Verdict::Agrees),
            (6.1, 7.0, Verdict::Worse),
            (3.0, 3.9, Verdict::Better),
            (3.0, 4.0, Verdict::Agrees),
            (1.0, 9.0, Verdict::Agrees),
        ] {
            assert_eq!(receipt.verdict(&run(7, low, high)), verdict, "{low} to {high}");
        }
    }

    #[test]
    fn the_page_has_a_line_a_recipe() {
        let workspace = Workspace::find().unwrap();
        let index = Index::read(workspace.root()).unwrap();
        let mut receipts = Receipts::default();
        receipts.0.insert("default".to_owned(), receipt());
        let page = receipts.page(&index).unwrap();
        assert!(
            page.contains("| default | FD (`--n 9`) | 4.88 | 4.00 to 6.00 | 0, 1 | 10 | 2.0 min | abc |"),
            "{page}"
        );
        let of_gpu = "| cifar10-ddpm | not run here |";
        assert!(page.contains(of_gpu) && page.lines().count() == 5 + index.recipes.len(), "{page}");
    }

    /// The committed page matches its numbers.
    #[test]
    fn the_page_is_that_of_the_numbers() {
        let workspace = Workspace::find().unwrap();
        let receipts = Receipts::read(workspace.root()).unwrap();
        let page = receipts.page(&Index::read(workspace.root()).unwrap()).unwrap();
        let there = std::fs::read_to_string(workspace.root().join(FOLDER).join("RECEIPTS.md")).unwrap();
        assert_eq!(there, page, "cargo xtask recipe --page writes it");
    }
}
