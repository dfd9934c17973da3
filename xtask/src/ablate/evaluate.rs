//! Evaluates a training. Results are stored and reused when all arguments are equal.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::folder::{Folder, remove};
use super::results::Evaluated;
use super::study::{Average, Evaluate, Sampling};
use super::train::Outcome;
use crate::child::{Ddpm, Ended};
use crate::json_file::{read_json, write_json};

/// A training to evaluate.
pub(super) struct Evaluation<'a> {
    pub(super) ddpm: &'a Ddpm,
    pub(super) folder: &'a Folder,
    pub(super) row: &'a str,
    pub(super) seed: u64,
    pub(super) evaluate: &'a Evaluate,
}

/// A stored result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    arguments: Vec<String>,
    average_error: Option<f64>,
    said: Value,
}

/// Weights to evaluate.
struct Model {
    /// The flags that name them.
    flags: [String; 2],
    average_error: Option<f64>,
}

impl Evaluation<'_> {
    /// The stored result for these arguments, if there is one.
    pub(super) fn kept(&self, average: Average, sampling: &Sampling) -> Option<Evaluated> {
        let arguments = arguments(self.evaluate, average, sampling);
        // An unreadable one is computed again.
        let kept: Kept = read_json(&self.file(&arguments)).ok().flatten()?;
        let said = Some(kept.said);
        let average_error = kept.average_error;
        let evaluated = Evaluated { average, sampling: sampling.clone(), average_error, said, failed: None };
        (kept.arguments == arguments).then(|| self.checked(evaluated))
    }

    /// Evaluates all of `wanted`, running `ddpm evaluate` for those without a stored result; calls `tell` before each
    /// run. Finished results are kept when a run is stopped.
    pub(super) fn run(
        &self,
        wanted: &[(Average, Sampling)],
        tell: &mut dyn FnMut(Average, &Sampling),
    ) -> anyhow::Result<Outcome<Vec<Evaluated>>> {
        let mut all: Vec<Option<Evaluated>> =
            wanted.iter().map(|(average, sampling)| self.kept(*average, sampling)).collect();
        // Make an average once for all its samplings.
        let mut averages: Vec<Average> = Vec::new();
        for ((average, _), done) in wanted.iter().zip(&all) {
            if done.is_none() && !averages.contains(average) {
                averages.push(*average);
            }
        }
        for average in averages {
            let model = match self.model(average)? {
                Outcome::Stopped(code) => return Ok(Outcome::Stopped(code)),
                Outcome::Done(model) => Ok(model),
                Outcome::Failed(reason) => Err(reason),
            };
            for ((_, sampling), slot) in
                wanted.iter().zip(&mut all).filter(|((of, _), done)| *of == average && done.is_none())
            {
                tell(average, sampling);
                let evaluated = match &model {
                    Ok(model) => self.one(average, sampling, model)?,
                    Err(reason) => Outcome::Done(failed(average, sampling, reason.clone())),
                };
                match evaluated {
                    Outcome::Done(evaluated) => *slot = Some(evaluated),
                    Outcome::Failed(reason) => *slot = Some(failed(average, sampling, reason)),
                    Outcome::Stopped(code) => return Ok(Outcome::Stopped(code)),
                }
            }
            remove(&self.average_folder())?;
        }
        Ok(Outcome::Done(all.into_iter().flatten().collect()))
    }

    /// The weights: those of the run, or a model folder made by `ddpm ema`.
    fn model(&self, average: Average) -> anyhow::Result<Outcome<Model>> {
        let run = self.folder.run(self.row, self.seed).display().to_string();
        let (flag, number) = match average {
            Average::Own | Average::Raw => {
                let flags = ["--run".to_owned(), run];
                return Ok(Outcome::Done(Model { flags, average_error: None }));
            }
            Average::SigmaRel(x) => ("--sigma-rel", x.to_string()),
            Average::Decay(x) => ("--decay", x.to_string()),
        };
        let out = self.average_folder();
        // Remove leftovers of a killed study, since `ddpm ema` does not overwrite.
        remove(&out)?;
        let out = out.display().to_string();
        let args = ["ema", "--json", "--run", &run, flag, &number, "--out", &out].map(str::to_owned);
        Ok(match self.ddpm.run(&args, &self.log())? {
            Ended::Done(said) => match said["out"].as_str() {
                Some(model) => {
                    let flags = ["--model".to_owned(), model.to_owned()];
                    Outcome::Done(Model { flags, average_error: said["error"].as_f64() })
                }
                None => Outcome::Failed("`ddpm ema`: expected a model folder in its answer".to_owned()),
            },
            Ended::Failed(reason) => Outcome::Failed(reason),
            Ended::Stopped(code) => Outcome::Stopped(code),
        })
    }

    fn one(
        &self,
        average: Average,
        sampling: &Sampling,
        model: &Model,
    ) -> anyhow::Result<Outcome<Evaluated>> {
        let arguments = arguments(self.evaluate, average, sampling);
        let mut args = vec!["evaluate".to_owned()];
        args.extend(model.flags.iter().cloned());
        // The last argument is only our name of the average; `model.flags` select the weights.
        args.extend(arguments[..arguments.len() - 1].iter().cloned());
        args.push("--json".to_owned());
        let said = match self.ddpm.run(&args, &self.log())? {
            Ended::Done(said) => said,
            Ended::Failed(reason) => return Ok(Outcome::Failed(reason)),
            Ended::Stopped(code) => return Ok(Outcome::Stopped(code)),
        };
        let average_error = model.average_error;
        let path = self.file(&arguments);
        let kept = Kept { arguments, average_error, said };
        write_json(&path, &kept).context("cannot store an evaluation")?;
        let (sampling, said) = (sampling.clone(), Some(kept.said));
        Ok(Outcome::Done(self.checked(Evaluated { average, sampling, average_error, said, failed: None })))
    }

    /// A result without the metric that rows are sorted by counts as failed.
    fn checked(&self, evaluated: Evaluated) -> Evaluated {
        let wanted = &self.evaluate.metric;
        if evaluated.metric(wanted).is_some() {
            return evaluated;
        }
        let found: Vec<String> = evaluated.metrics().into_iter().map(|metric| metric.id).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        let reason = format!("`ddpm evaluate`: expected the metric {wanted} in its answer, found {found}");
        Evaluated { failed: Some(reason), ..evaluated }
    }

    fn average_folder(&self) -> PathBuf {
        self.folder.seed(self.row, self.seed).join("average")
    }

    fn log(&self) -> PathBuf {
        let seed = self.folder.seed(self.row, self.seed);
        // A finished training has created it.
        let _ = fs::create_dir_all(&seed);
        seed.join("log.txt")
    }

    fn file(&self, arguments: &[String]) -> PathBuf {
        let hash = Sha256::digest(arguments.join("\0"));
        let short: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.seed(self.row, self.seed).join("evaluations").join(format!("{short}.json"))
    }
}

/// The program's complaint about the flags of an evaluation, if any. It checks flags before it opens the run, which
/// here does not exist.
pub(super) fn complaint(
    ddpm: &Ddpm,
    evaluate: &Evaluate,
    sampling: &Sampling,
    nowhere: &Path,
) -> Option<String> {
    let nowhere = nowhere.display().to_string();
    let mut args = vec!["evaluate".to_owned(), "--run".to_owned(), nowhere.clone()];
    let arguments = arguments(evaluate, Average::Own, sampling);
    args.extend(arguments[..arguments.len() - 1].iter().cloned());
    args.push("--json".to_owned());
    let error = ddpm.answer(&args).err()?.to_string();
    (!error.contains(&nowhere)).then_some(error)
}

fn failed(average: Average, sampling: &Sampling, reason: String) -> Evaluated {
    let sampling = sampling.clone();
    Evaluated { average, sampling, average_error: None, said: None, failed: Some(reason) }
}

/// Everything that a result depends on besides the training, the average last.
fn arguments(evaluate: &Evaluate, average: Average, sampling: &Sampling) -> Vec<String> {
    let weights = if average == Average::Raw { "raw" } else { "ema" };
    let (n, seed, metrics) = (evaluate.n.to_string(), evaluate.seed.to_string(), evaluate.metrics.join(","));
    let common = ["--n", &n, "--metrics", &metrics, "--seed", &seed, "--weights", weights];
    let mut arguments: Vec<String> = common.into_iter().map(str::to_owned).collect();
    for (flag, value) in [("--features", &evaluate.features), ("--held-out", &evaluate.held_out)] {
        arguments.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    arguments.extend(sampling.flags());
    arguments.push(average.to_string());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(steps: u64) -> Sampling {
        toml::from_str(&format!("sampler = 'ddim'\nsteps = {steps}")).unwrap()
    }

    fn evaluate() -> Evaluate {
        let metrics = vec!["fd".into(), "kd".into()];
        Evaluate { n: 9, metrics, metric: "fd".into(), seed: 2, features: None, held_out: None }
    }

    #[test]
    fn arguments_tell_evaluations_apart() {
        let evaluate = evaluate();
        let line = arguments(&evaluate, Average::Raw, &sampling(4)).join(" ");
        assert_eq!(line, "--n 9 --metrics fd,kd --seed 2 --weights raw --sampler ddim --steps 4 raw");
        let all = [
            arguments(&evaluate, Average::Own, &sampling(4)),
            arguments(&evaluate, Average::SigmaRel(0.1), &sampling(4)),
            arguments(&evaluate, Average::Own, &sampling(5)),
            arguments(&Evaluate { n: 10, ..evaluate.clone() }, Average::Own, &sampling(4)),
            arguments(&Evaluate { seed: 3, ..evaluate.clone() }, Average::Own, &sampling(4)),
            arguments(
                &Evaluate { features: Some("f".into()), ..evaluate.clone() },
                Average::Own,
                &sampling(4),
            ),
            arguments(
                &Evaluate { held_out: Some("f".into()), ..evaluate.clone() },
                Average::Own,
                &sampling(4),
            ),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{one:?}");
        }
        // The sort metric does not affect results.
        let other = Evaluate { metric: "kd".into(), ..evaluate.clone() };
        assert_eq!(arguments(&other, Average::Own, &sampling(4)), all[0]);
    }

    #[test]
    fn an_answer_is_reused_only_for_equal_arguments() {
        let place = tempfile::tempdir().unwrap();
        let (folder, ddpm) = (Folder::new(place.path(), "s"), Ddpm::new("none".into(), None).unwrap());
        let evaluate = evaluate();
        let of = |evaluate: &Evaluate| -> Option<Evaluated> {
            let evaluation = Evaluation { ddpm: &ddpm, folder: &folder, row: "a", seed: 0, evaluate };
            evaluation.kept(Average::Own, &sampling(4))
        };
        assert_eq!(of(&evaluate), None);
        let evaluation = Evaluation { ddpm: &ddpm, folder: &folder, row: "a", seed: 0, evaluate: &evaluate };
        let arguments = arguments(&evaluate, Average::Own, &sampling(4));
        let path = evaluation.file(&arguments);
        let said = serde_json::json!({ "n": 9 });
        write_json(&path, &Kept { arguments, average_error: None, said: said.clone() }).unwrap();
        assert_eq!(of(&evaluate).unwrap().said, Some(said));
        assert_eq!(of(&Evaluate { n: 10, ..evaluate.clone() }), None);
        // Damaged, or from other arguments under the same name.
        write_json(&path, &Kept { arguments: vec![], average_error: None, said: Value::Null }).unwrap();
        assert_eq!(of(&evaluate), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(of(&evaluate), None);
    }
}
