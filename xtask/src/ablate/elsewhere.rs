//! Results of the same study from another folder or machine (`--with FILE.json`): trainings that need not be repeated here.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::process::Exit;

use super::results::{Results, SeedResult};
use super::study::{Budget, Row, Study};

/// What the files have for a study.
#[derive(Debug)]
pub(super) struct Elsewhere {
    files: Vec<Results>,
}

impl Elsewhere {
    /// Reads the files. Each must be of this study: its base, budget and evaluation, which decide whether numbers compare.
    pub(super) fn read(study: &Study, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let what = || path.display().to_string();
            let text = fs::read_to_string(path).with_context(what)?;
            let results: Results = serde_json::from_str(&text).with_context(what)?;
            let different = [
                ("[base]", results.base != study.base),
                ("[budget]", results.budget != study.budget),
                ("[evaluate]", results.evaluate != study.evaluate),
            ];
            if let Some((table, _)) = different.iter().find(|(_, differs)| *differs) {
                let message = format!(
                    "--with {}: expected results of {}, found others: its {table} differs",
                    path.display(),
                    study.file
                );
                return Err(Exit::usage(message).into());
            }
            files.push(results);
        }
        Ok(Self { files })
    }

    /// The complete result of a training, with the evaluations of the row in their order.
    pub(super) fn result(&self, study: &Study, row: &Row, seed: u64) -> Option<SeedResult> {
        let rows = self.files.iter().flat_map(|results| &results.rows);
        let seeds =
            rows.filter(|other| other.name == row.name && other.own == row.own).flat_map(|row| &row.seeds);
        seeds.filter(|result| result.seed == seed).find_map(|result| complete(study, row, result))
    }
}

fn complete(study: &Study, row: &Row, result: &SeedResult) -> Option<SeedResult> {
    let as_long = match study.budget {
        Budget::Steps(steps) => result.steps == Some(steps),
        Budget::Seconds(_) => true,
    };
    if !as_long || result.failed.is_some() {
        return None;
    }
    let wanted = row.evaluations.iter().map(|(average, sampling)| {
        let is = |done: &&super::results::Evaluated| done.average == *average && done.sampling == *sampling;
        result.evaluations.iter().find(is).filter(|done| done.failed.is_none()).cloned()
    });
    let evaluations = wanted.collect::<Option<Vec<_>>>()?;
    Some(SeedResult { evaluations, ..result.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{origin, study, trained};
    use super::*;

    fn file(study: &Study, row: usize, result: SeedResult) -> (tempfile::TempDir, PathBuf) {
        let mut results = Results::new(study, origin());
        results.rows[row].seeds.push(result);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, serde_json::to_string(&results).unwrap()).unwrap();
        (folder, path)
    }

    #[test]
    fn a_complete_training_is_taken_and_any_other_is_not() {
        let study = study();
        let row = &study.rows[0];
        let values: Vec<f64> = row.evaluations.iter().map(|_| 3.0).collect();
        let whole = trained(&study, 0, 5, &values, "lower");
        let (_folder, path) = file(&study, 0, whole.clone());
        let elsewhere = Elsewhere::read(&study, &[path]).unwrap();
        assert_eq!(elsewhere.result(&study, row, 5), Some(whole.clone()));
        assert_eq!(elsewhere.result(&study, row, 6), None);
        assert_eq!(elsewhere.result(&study, &study.rows[1], 5), None);

        let mut part = whole.clone();
        part.evaluations.pop();
        let failed = SeedResult { failed: Some("memory".to_owned()), ..whole };
        for other in [part, failed] {
            let (_folder, path) = file(&study, 0, other);
            assert_eq!(Elsewhere::read(&study, &[path]).unwrap().result(&study, row, 5), None);
        }
    }

    #[test]
    fn results_of_another_study_are_refused() {
        let study = study();
        let mut other = study.clone();
        other.budget = Budget::Steps(123_456);
        let (_folder, path) = file(&other, 0, trained(&study, 0, 5, &[1.0], "lower"));
        let error = Elsewhere::read(&study, &[path]).unwrap_err().to_string();
        assert!(error.contains("--with") && error.contains("[budget]"), "{error}");
    }
}
