//! The remaining work of a study, and how long it takes on this machine.

use std::collections::BTreeMap;

use serde_json::Value;

use super::elsewhere::Elsewhere;
use super::evaluate::Evaluation;
use super::folder::{Folder, Progress};
use super::results::{Results, RowResult, best, further_seeds};
use super::study::{Budget, Row, Sampling, Settings, Study, key_of};
use super::table::as_text;
use crate::child::Ddpm;

/// Overhead of a training in seconds: program starts, warm-up, checkpoints and grid.
const AROUND: f64 = 10.0;
/// Batch size for timing a network call.
const BATCH: &str = "64";

/// What is known about the study.
pub(super) struct Known<'a> {
    pub(super) study: &'a Study,
    pub(super) folder: &'a Folder,
    pub(super) ddpm: &'a Ddpm,
    /// The existing results.
    pub(super) results: &'a Results,
    /// Trainings done elsewhere.
    pub(super) elsewhere: &'a Elsewhere,
}

/// The speed of a network here, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Speed {
    /// One training step; not measured if the budget is in seconds.
    step: Option<f64>,
    /// One network call, per image.
    call: Option<f64>,
}

/// Remaining work. Counts are expected values while the best rows are unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Work {
    trainings: f64,
    evaluations: f64,
    training_s: f64,
    evaluation_s: f64,
    /// Trainings and evaluations of unknown duration.
    unknown: f64,
}

impl Known<'_> {
    /// Lists every row, its remaining work, and the total time.
    pub(super) fn plan(&self) -> anyhow::Result<String> {
        let mut speeds: BTreeMap<Vec<String>, Speed> = BTreeMap::new();
        let head = ["training", "differs from base", "seeds", "evaluations", "state"];
        let mut table = vec![head.map(str::to_owned).to_vec()];
        let (mut own, mut further) = (Work::default(), Work::default());
        let chosen = self.chosen();
        for (index, row) in self.study.rows.iter().enumerate() {
            let speed = *speeds.entry(shape(&row.settings)).or_insert_with_key(|shape| self.measure(shape));
            let mut states = Vec::new();
            for &seed in &row.seeds {
                let (state, work) = self.left(row, seed, speed)?;
                states.push(state);
                own.add(work, 1.0);
            }
            let share = match &chosen {
                Some(best) => f64::from(u8::from(best.contains(&index))),
                // Any row may become one of the best.
                None => self.best_count() as f64 / self.study.rows.len() as f64,
            };
            for seed in further_seeds(self.study, index) {
                further.add(self.left(row, seed, speed)?.1, share);
            }
            let seeds = row.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            let evaluations = (row.evaluations.len() * row.seeds.len()).to_string();
            table.push(vec![row.name.clone(), row.own.text(), seeds, evaluations, states.join(", ")]);
        }
        Ok(format!("{}\n\n{}", as_text(&table), self.summary(own, further)))
    }

    fn summary(&self, own: Work, further: Work) -> String {
        let study = self.study;
        let mut text = format!(
            "{}: {} of {} and {} of {} are left, in {}\n",
            study.name,
            files::counted(own.trainings.round_ties_even(), "training"),
            study.budget,
            files::counted(own.evaluations.round_ties_even(), "evaluation"),
            files::counted(study.evaluate.n, "image"),
            self.folder.root().display()
        );
        if study.best.is_some() {
            text += &format!(
                "then further seeds of the best {}: {} and {}\n",
                files::counted(self.best_count(), "row"),
                files::counted(further.trainings.round_ties_even(), "training"),
                files::counted(further.evaluations.round_ties_even(), "evaluation")
            );
        }
        let (training, evaluation) =
            (own.training_s + further.training_s, own.evaluation_s + further.evaluation_s);
        text += &format!(
            "predicted here: {} ({} training, {} evaluating; before the first evaluation, this counts only drawing the images \
             and not features and metrics)",
            duration(training + evaluation),
            duration(training),
            duration(evaluation)
        );
        let unknown = own.unknown + further.unknown;
        if unknown > 0.0 {
            text += &format!("; not counting {unknown:.0} trainings and evaluations of unknown time");
        }
        text
    }

    fn best_count(&self) -> usize {
        self.study.best.as_ref().map_or(0, |best| best.count.min(self.study.rows.len()))
    }

    /// The best rows, once every row is evaluated with its first seed.
    fn chosen(&self) -> Option<Vec<usize>> {
        let done = |(row, result): (&Row, &RowResult)| {
            let mut seeds = result.seeds.iter().filter(|seed| Some(&seed.seed) == row.seeds.first());
            seeds.any(|seed| seed.evaluations.len() == row.evaluations.len())
        };
        let complete = self.study.rows.iter().zip(&self.results.rows).all(done);
        complete.then(|| best(self.study, self.results))
    }

    /// The remaining work of a training and its evaluations.
    fn left(&self, row: &Row, seed: u64, speed: Speed) -> anyhow::Result<(&'static str, Work)> {
        if self.elsewhere.result(self.study, row, seed).is_some() {
            return Ok(("done", Work::default()));
        }
        let kept = self.folder.kept(&row.name)?;
        let progress = kept.map_or(Progress::New, |kept| self.folder.progress(&row.name, seed, kept.steps));
        let mut work = Work::default();
        if progress != Progress::Done {
            let seconds = match self.study.budget {
                Budget::Seconds(seconds) => Some(seconds),
                Budget::Steps(steps) => speed.step.map(|step| steps as f64 * step),
            };
            work.trainings = 1.0;
            // The progress of a started training is unknown.
            work.training_s = seconds.map_or(0.0, |seconds| seconds + AROUND);
            work.unknown += f64::from(u8::from(seconds.is_none()));
        }
        let Self { study, folder, ddpm, .. } = *self;
        let evaluation = Evaluation { ddpm, folder, row: &row.name, seed, evaluate: &study.evaluate };
        for (average, sampling) in &row.evaluations {
            if evaluation.kept(*average, sampling).is_some() {
                continue;
            }
            let seconds = self
                .seen(sampling)
                .or_else(|| Some(self.study.evaluate.n as f64 * sampling.calls()? * speed.call?));
            work.evaluations += 1.0;
            work.evaluation_s += seconds.unwrap_or_default();
            work.unknown += f64::from(u8::from(seconds.is_none()));
        }
        let state = match (progress, work.evaluations > 0.0) {
            (Progress::New, _) => "to do",
            (Progress::Begun, _) => "begun",
            (Progress::Done, true) => "trained",
            (Progress::Done, false) => "done",
        };
        Ok((state, work))
    }

    /// Mean seconds of the study's evaluations with this sampling.
    fn seen(&self, sampling: &Sampling) -> Option<f64> {
        let evaluations =
            self.results.rows.iter().flat_map(|row| &row.seeds).flat_map(|seed| &seed.evaluations);
        let said = evaluations.filter(|evaluated| evaluated.sampling == *sampling);
        let seconds: Vec<f64> =
            said.filter_map(|evaluated| evaluated.said.as_ref()?["seconds"].as_f64()).collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
    }

    fn measure(&self, shape: &[String]) -> Speed {
        let timed = |what: &str, more: &[&str]| {
            let words = ["bench", what, "--json", "--steps", "12", "--warmup", "2"];
            let args: Vec<String> =
                words.iter().chain(more).map(|&word| word.to_owned()).chain(shape.iter().cloned()).collect();
            // If this timing fails, the network's time is unknown.
            self.ddpm.answer(&args).ok()
        };
        // Use the fastest step; the others may include unrelated load.
        let fastest = |said: Value| said["min_s"].as_f64();
        let per_image = |said: Value| Some(said["min_s"].as_f64()? / said["batch"].as_f64()?);
        let step =
            matches!(self.study.budget, Budget::Steps(_)).then(|| timed("train", &[]).and_then(fastest));
        Speed { step: step.flatten(), call: timed("sample", &["--batch", BATCH]).and_then(per_image) }
    }
}

impl Work {
    fn add(&mut self, other: Self, share: f64) {
        self.trainings += share * other.trainings;
        self.evaluations += share * other.evaluations;
        self.training_s += share * other.training_s;
        self.evaluation_s += share * other.evaluation_s;
        self.unknown += share * other.unknown;
    }
}

/// The flags of `ddpm bench` for the network of a training, whatever its objective.
fn shape(settings: &Settings) -> Vec<String> {
    let of_network = |entry: &&String| {
        let key = key_of(entry);
        key.starts_with("model.") || ["train.batch", "train.micro_batch", "precision"].contains(&key)
    };
    let mut flags = Vec::new();
    if let Some(preset) = &settings.preset {
        flags.extend(["--preset".to_owned(), preset.clone()]);
    }
    flags.extend(settings.set.iter().filter(of_network).flat_map(|e| ["--set".to_owned(), e.clone()]));
    flags
}

/// `3 h 05 min`, `12 min` or `40 s`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (minutes / 60, minutes % 60) {
        (0, 0 | 1) => format!("{seconds:.0} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablate::folder::tests::kept;
    use crate::ablate::results::tests::{origin, study, trained};

    /// A fake program with a network of 0.5 s per step, and 0.01 s per call and image.
    #[cfg(unix)]
    fn fake(place: &std::path::Path) -> Ddpm {
        use std::os::unix::fs::PermissionsExt;
        let path = place.join("ddpm");
        let script = "#!/bin/sh\ncase \"$2\" in\ntrain) echo '{\"min_s\": 0.5}' ;;\n\
                      sample) echo '{\"min_s\": 0.64, \"batch\": 64}' ;;\nesac\n";
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Ddpm::new(path, None).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn the_plan_counts_what_is_left() {
        let place = tempfile::tempdir().unwrap();
        let (study, ddpm) = (study(), fake(place.path()));
        let folder = Folder::new(place.path(), "s");
        let mut results = Results::new(&study, origin());
        let elsewhere = Elsewhere::read(&study, &[]).unwrap();
        let plan = |results: &Results| {
            Known { study: &study, folder: &folder, ddpm: &ddpm, results, elsewhere: &elsewhere }
                .plan()
                .unwrap()
        };
        // Rows a and c have one seed, b has two; 70 steps of 0.5 s plus 10 s overhead, 9 images of 4 and 9 calls.
        let text = plan(&results);
        assert!(text.contains("s: 4 trainings of 70 steps and 8 evaluations of 9 images are left"), "{text}");
        // Two of three rows: two thirds of the 5 further trainings (2 of a, 1 of b, 2 of c).
        assert!(text.contains("further seeds of the best 2 rows: 3 trainings and 7 evaluations"), "{text}");
        let seconds = (4.0 + 10.0 / 3.0) * (45.0 + 9.0 * 13.0 * 0.01);
        assert!(text.contains(&format!("predicted here: {} (", duration(seconds))), "{text}");

        // Every row has its first seed: a and b are the best; evaluations took 2 s each.
        for (row, value) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
            results.rows[row].seeds.push(trained(&study, row, 0, &[value, value], "lower"));
        }
        folder.keep("a", &kept(&study)).unwrap();
        let checkpoint = folder.run("a", 0).join("checkpoints/step-00000007");
        std::fs::create_dir_all(&checkpoint).unwrap();
        std::fs::write(checkpoint.join("manifest.json"), "").unwrap();
        let text = plan(&results);
        assert!(text.contains("s: 3 trainings of 70 steps and 8 evaluations"), "{text}");
        assert!(text.contains("best 2 rows: 3 trainings and 6 evaluations"), "{text}");
        assert!(text.contains(&format!("{} evaluating", duration(14.0 * 2.0))), "{text}");
        let line = text.lines().find(|line| line.starts_with("a ")).unwrap();
        assert!(line.ends_with("trained"), "{text}");
    }

    #[test]
    fn unknown_times_are_reported() {
        let place = tempfile::tempdir().unwrap();
        let (study, ddpm) = (study(), Ddpm::new("no-such-program".into(), None).unwrap());
        let folder = Folder::new(place.path(), "s");
        let results = Results::new(&study, origin());
        let elsewhere = Elsewhere::read(&study, &[]).unwrap();
        let known =
            Known { study: &study, folder: &folder, ddpm: &ddpm, results: &results, elsewhere: &elsewhere };
        let text = known.plan().unwrap();
        // 4 trainings and 8 evaluations, and 10/3 and 20/3 more.
        assert!(text.ends_with("not counting 22 trainings and evaluations of unknown time"), "{text}");
    }

    #[test]
    fn step_times_depend_on_the_shape() {
        let settings = Settings {
            preset: Some("tiny-16".into()),
            objective: Some("flow".into()),
            set: ["train.lr=1", "model.base_channels=8", "train.batch=4"].map(str::to_owned).to_vec(),
            data: None,
        };
        assert_eq!(
            shape(&settings).join(" "),
            "--preset tiny-16 --set model.base_channels=8 --set train.batch=4"
        );
        assert_eq!(
            (duration(40.0), duration(720.0), duration(11_100.0)),
            ("40 s".to_owned(), "12 min".to_owned(), "3 h 05 min".to_owned())
        );
    }
}
