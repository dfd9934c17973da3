//! The training of a row with a seed: chooses its number of steps, and trains.

use std::fs;
use std::path::Path;

use super::folder::{Folder, Kept, Progress, remove};
use super::study::{Budget, Row, Settings};
use crate::child::{Ddpm, Ended};
use crate::machine::Origin;
use crate::run_log::Log;

/// Steps of the first step timing, whose first is dropped; steps of the warm-up, and how many of them one log line
/// averages.
const LOOK: u64 = 4;
const WARM_UP: u64 = 40;
const LOGGED: u64 = 4;
/// If a warm-up would take a larger share of the budget, it is skipped and the first timing is used.
const MOST_OF_BUDGET: f64 = 0.2;

/// A row, and the folder of its trainings.
pub(super) struct Training<'a> {
    pub(super) ddpm: &'a Ddpm,
    pub(super) folder: &'a Folder,
    pub(super) row: &'a Row,
    pub(super) budget: Budget,
    pub(super) origin: &'a Origin,
}

/// The outcome of a part of the work.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome<T> {
    Done(T),
    /// Failed, with the reason.
    Failed(String),
    /// Stopped by the user, with the exit code for it.
    Stopped(u8),
}

impl Training<'_> {
    /// Settles the row before its first training. With a budget in seconds this measures the time of a step.
    pub(super) fn settle(&self, seed: u64) -> anyhow::Result<Outcome<Kept>> {
        if let Some(kept) = self.folder.kept(&self.row.name)? {
            return Ok(Outcome::Done(kept));
        }
        let (steps, step_s) = match self.budget {
            Budget::Steps(steps) => (steps, None),
            Budget::Seconds(seconds) => match self.step_seconds(seed, seconds)? {
                Outcome::Done(step_s) => (((seconds / step_s).round() as u64).max(1), Some(step_s)),
                Outcome::Failed(reason) => return Ok(Outcome::Failed(format!("warm-up: {reason}"))),
                Outcome::Stopped(code) => return Ok(Outcome::Stopped(code)),
            },
        };
        let (settings, origin) = (self.row.settings.clone(), self.origin.clone());
        let kept = Kept { settings, budget: self.budget, steps, step_s, origin };
        self.folder.keep(&self.row.name, &kept)?;
        Ok(Outcome::Done(kept))
    }

    /// Trains to the end, resuming an earlier training.
    pub(super) fn run(&self, seed: u64, steps: u64) -> anyhow::Result<Outcome<()>> {
        let (name, run) = (&self.row.name, self.folder.run(&self.row.name, seed));
        let mut args = match self.folder.progress(name, seed, steps) {
            Progress::Done => return Ok(Outcome::Done(())),
            Progress::Begun => vec!["train".to_owned(), "--resume".to_owned()],
            Progress::New => train(&self.row.settings, seed, steps),
        };
        args.extend(["--json".to_owned(), "--run".to_owned(), text(&run)]);
        fs::create_dir_all(self.folder.seed(name, seed))?;
        let log = self.folder.seed(name, seed).join("log.txt");
        match self.ddpm.run(&args, &log)? {
            Ended::Done(_) if self.folder.progress(name, seed, steps) == Progress::Done => {
                Ok(Outcome::Done(()))
            }
            Ended::Done(_) => Ok(Outcome::Failed(format!(
                "expected a checkpoint of step {steps} in {}, found none",
                run.display()
            ))),
            Ended::Failed(reason) => Ok(Outcome::Failed(reason)),
            Ended::Stopped(code) => Ok(Outcome::Stopped(code)),
        }
    }

    /// Seconds per step, measured by short separate trainings with the same images.
    fn step_seconds(&self, seed: u64, budget: f64) -> anyhow::Result<Outcome<f64>> {
        let look = match self.warm_up(seed, LOOK, 1)? {
            Outcome::Done(seconds) => seconds,
            other => return Ok(other),
        };
        if look * WARM_UP as f64 > MOST_OF_BUDGET * budget {
            return Ok(Outcome::Done(look));
        }
        self.warm_up(seed, WARM_UP, LOGGED)
    }

    fn warm_up(&self, seed: u64, steps: u64, log_every: u64) -> anyhow::Result<Outcome<f64>> {
        let place = self.folder.row(&self.row.name).join("warm-up");
        remove(&place)?;
        fs::create_dir_all(&place)?;
        let run = place.join("run");
        let mut args = train(&self.row.settings, seed, steps);
        let short =
            [format!("train.log_every={log_every}"), "sample.count=1".into(), "sample.steps=1".into()];
        args.extend(short.into_iter().flat_map(|entry| ["--set".to_owned(), entry]));
        args.extend(["--json".to_owned(), "--run".to_owned(), text(&run)]);
        let ended = self.ddpm.run(&args, &place.join("log.txt"))?;
        let outcome = match ended {
            Ended::Done(_) => Outcome::Done(Log::read(&run)?.median_step()?),
            Ended::Failed(reason) => Outcome::Failed(reason),
            Ended::Stopped(code) => Outcome::Stopped(code),
        };
        remove(&place)?;
        Ok(outcome)
    }
}

/// The `ddpm train` arguments of a new run, except its folder.
pub(super) fn train(settings: &Settings, seed: u64, steps: u64) -> Vec<String> {
    let mut args = vec!["train".to_owned()];
    args.extend(settings.flags());
    for entry in [format!("seed={seed}"), format!("train.steps={steps}")] {
        args.extend(["--set".to_owned(), entry]);
    }
    args
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[(u64, f64)]) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("config.toml"), "[train]\nbatch = 8\n").unwrap();
        let lines: Vec<String> = lines
            .iter()
            .map(|(step, speed)| format!("{{\"step\":{step},\"images_per_s\":{speed}}}"))
            .collect();
        fs::write(run.path().join("metrics.jsonl"), lines.join("\n")).unwrap();
        run
    }

    #[test]
    fn seconds_are_those_of_the_logged_intervals() {
        let log = Log::read(run(&[(10, 4.0), (20, 80.0), (25, 40.0), (35, 80.0)]).path()).unwrap();
        // 10 steps of 2 s, 10 of 0.1 s, 5 of 0.2 s, 10 of 0.1 s.
        assert!((log.seconds() - 23.0).abs() < 1e-9);
        assert!((log.median_step().unwrap() - 0.1).abs() < 1e-12);
        assert!((Log::read(run(&[(1, 4.0)]).path()).unwrap().median_step().unwrap() - 2.0).abs() < 1e-12);
        assert!(Log::read(run(&[]).path()).is_err());
        assert!(Log::read(tempfile::tempdir().unwrap().path()).is_err());
    }

    #[test]
    fn a_training_is_the_row_s_settings_its_seed_and_its_steps() {
        let settings = Settings {
            preset: Some("tiny-16".into()),
            objective: Some("flow".into()),
            data: None,
            set: vec!["train.batch=4".into()],
        };
        let line = train(&settings, 3, 70).join(" ");
        assert_eq!(
            line,
            "train --preset tiny-16 --objective flow --set train.batch=4 --set seed=3 --set train.steps=70"
        );
    }
}
