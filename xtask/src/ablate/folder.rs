//! The folder of a study: which results exist, and whether they still match the file.
//!
//! ```text
//! NAME/ablation.json               all results so far
//! NAME/ROW/row.json                the row's definition, and the number of steps of its trainings
//! NAME/ROW/warm-up/                only while the time of a step is measured
//! NAME/ROW/seed-N/run/             the run folder of the training
//! NAME/ROW/seed-N/evaluations/     results of `ddpm evaluate`, one file each
//! NAME/ROW/seed-N/log.txt          what the program logged
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::json_file::{read_json, write_json};
use crate::machine::Origin;

use super::study::{Budget, Row, Settings, Study};
use crate::process::Exit;

/// The folder of a study.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

/// The definition of a row when its first training started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) settings: Settings,
    pub(super) budget: Budget,
    /// Steps of each training.
    pub(super) steps: u64,
    /// Seconds per step, if measured to choose `steps`.
    pub(super) step_s: Option<f64>,
    /// Commit, machine and date.
    pub(super) origin: Origin,
}

/// The state of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is nothing to resume from.
    New,
    /// It stopped before its end.
    Begun,
    Done,
}

impl Folder {
    pub(super) fn new(runs: &Path, study: &str) -> Self {
        Self { root: runs.join(study) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn row(&self, row: &str) -> PathBuf {
        self.root.join(row)
    }

    fn row_file(&self, row: &str) -> PathBuf {
        self.row(row).join("row.json")
    }

    pub(super) fn seed(&self, row: &str, seed: u64) -> PathBuf {
        self.row(row).join(format!("seed-{seed}"))
    }

    pub(super) fn run(&self, row: &str, seed: u64) -> PathBuf {
        self.seed(row, seed).join("run")
    }

    /// The stored definition of a row; `None` if it was not started.
    pub(super) fn kept(&self, row: &str) -> anyhow::Result<Option<Kept>> {
        read_json(&self.row_file(row))
    }

    pub(super) fn keep(&self, row: &str, kept: &Kept) -> anyhow::Result<()> {
        write_json(&self.row_file(row), kept)
    }

    /// The state of a training with this many steps. A checkpoint is complete or absent.
    pub(super) fn progress(&self, row: &str, seed: u64, steps: u64) -> Progress {
        let run = self.run(row, seed);
        if run.join(format!("checkpoints/step-{steps:08}/manifest.json")).is_file() {
            return Progress::Done;
        }
        if crate::runs::changed(&run).is_some() { Progress::Begun } else { Progress::New }
    }

    /// Refuses a file whose row differs from what was trained.
    ///
    /// # Errors
    /// For the first such row, with its key, the old value and the new one.
    pub(super) fn check(&self, study: &Study) -> anyhow::Result<()> {
        for row in &study.rows {
            let Some(kept) = self.kept(&row.name)? else { continue };
            if let Some((key, was, is)) = change(&kept, row, study.budget) {
                let message = format!(
                    "{}: row `{}`: {key} is {is} and was {was} when {} was made; give the row another name, or remove that \
                     folder",
                    study.file,
                    row.name,
                    self.row(&row.name).display()
                );
                return Err(Exit::usage(message).into());
            }
        }
        Ok(())
    }
}

/// The first changed key of a row, its old value and its new one.
fn change(kept: &Kept, row: &Row, budget: Budget) -> Option<(&'static str, String, String)> {
    let (was, is) = (&kept.settings, &row.settings);
    let said = |name: &Option<String>| name.clone().unwrap_or_else(|| "not set".to_owned());
    let list = |set: &[String]| format!("[{}]", set.join(", "));
    let keys = [
        ("preset", said(&was.preset), said(&is.preset)),
        ("objective", said(&was.objective), said(&is.objective)),
        ("data", said(&was.data), said(&is.data)),
        ("set", list(&was.set), list(&is.set)),
        ("[budget]", kept.budget.to_string(), budget.to_string()),
    ];
    keys.into_iter().find(|(_, was, is)| was != is)
}

/// Removes one of our folders, if it exists.
pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ablate::read::parse;

    pub(in crate::ablate) fn study(budget: &str, row: &str) -> Study {
        let text = format!(
            "[base]\npreset = 'tiny-16'\n[budget]\n{budget}\n[evaluate]\nn = 9\nmetrics = ['fd']\n\
             samplings = [{{ sampler = 'ddim', steps = 4 }}]\n[[row]]\nname = 'a'\n{row}"
        );
        parse(&text, "s.toml", "s").unwrap()
    }

    pub(in crate::ablate) fn kept(study: &Study) -> Kept {
        let text = |text: &str| text.to_owned();
        let origin = Origin { commit: text("c"), machine: text("m"), date: text("2026-11-29") };
        let settings = study.rows[0].settings.clone();
        Kept { settings, budget: study.budget, steps: 7, step_s: Some(0.5), origin }
    }

    #[test]
    fn a_changed_row_is_named_with_its_key() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path(), "s");
        let before = study("seconds = 3", "objective = 'v'\nset = ['train.lr=1']");
        folder.check(&before).unwrap();
        folder.keep("a", &kept(&before)).unwrap();
        folder.check(&before).unwrap();
        assert_eq!(folder.kept("a").unwrap(), Some(kept(&before)));
        // The evaluations may change.
        folder.check(&study("seconds = 3", "objective = 'v'\nset = ['train.lr=1']\nema = ['raw']")).unwrap();
        for (budget, row, key) in [
            ("seconds = 3", "objective = 'edm'\nset = ['train.lr=1']", "objective is edm and was v when "),
            ("seconds = 3", "set = ['train.lr=1']", "objective is not set and was v when "),
            (
                "seconds = 3",
                "objective = 'v'\nset = ['train.lr=2']",
                "set is [train.lr=2] and was [train.lr=1] when ",
            ),
            ("steps = 3", "objective = 'v'\nset = ['train.lr=1']", "[budget] is 3 steps and was 3 s when "),
        ] {
            let error = folder.check(&study(budget, row)).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("s.toml: row `a`: {key}")), "{message}");
            assert!(message.lines().count() == 1 && message.contains("another name"), "{message}");
            assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
        }
    }

    #[test]
    fn a_training_continues_unless_it_is_done() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path(), "s");
        let progress = || folder.progress("a", 0, 12);
        assert_eq!(progress(), Progress::New);
        let run = folder.run("a", 0);
        // Killed before it became a run.
        fs::create_dir_all(run.join("checkpoints")).unwrap();
        assert_eq!(progress(), Progress::New);
        fs::write(run.join("config.toml"), "").unwrap();
        assert_eq!(progress(), Progress::Begun);
        let checkpoint = |step: &str| {
            let path = run.join("checkpoints").join(step);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("manifest.json"), "").unwrap();
        };
        checkpoint("step-00000006");
        assert_eq!(progress(), Progress::Begun);
        checkpoint("step-00000012");
        assert_eq!(progress(), Progress::Done);
        assert_eq!(folder.progress("a", 1, 12), Progress::New);
    }

    #[test]
    fn a_file_that_is_not_json_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path(), "s");
        fs::create_dir_all(folder.row("a")).unwrap();
        fs::write(folder.row_file("a"), "{").unwrap();
        assert!(format!("{:#}", folder.kept("a").unwrap_err()).contains("row.json: "));
        remove(&folder.row("a")).unwrap();
        remove(&folder.row("a")).unwrap();
        assert_eq!(folder.kept("a").unwrap(), None);
    }
}
