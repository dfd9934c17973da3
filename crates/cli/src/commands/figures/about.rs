//! The line under each figure of the report: the command that draws it, the seed, the network calls, and the weights.

use std::path::{Component, Path};

use sampler::{Encoder, Method, Sampler, SamplerConfig};

use crate::commands::figures::Figures;
use crate::commands::figures::edits::{diffusing, filling, resampling, there_and_back};
use crate::commands::figures::plan::{FAST_CALLS, Plan};
use crate::commands::figures::subject::Subject;
use crate::commands::reporting::numbers::grouped;
use crate::commands::reporting::settings::{name_of, source_name};
use crate::flags::Weights;
use crate::model::Loaded;

/// How a network was used for a figure.
struct Calls {
    /// Calls for an image, as text: a figure may have several samplers.
    per_image: String,
    sampler: String,
}

impl Figures {
    /// The line of a figure in the report.
    pub(super) fn about(
        &self,
        number: usize,
        subject: &Subject,
        loaded: Option<&Loaded>,
        plan: &Plan,
    ) -> anyhow::Result<String> {
        let run = loaded.and_then(|loaded| loaded.run.as_deref());
        let command = self.command(number, run);
        line(number, &command, subject, loaded, (plan, self.seed, self.model.weights))
    }

    /// The command that draws only this figure, from this run.
    fn command(&self, number: usize, run: Option<&Path>) -> String {
        let mut words = vec!["ddpm figures".to_owned()];
        let mut add = |flag: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("--{flag} {value}")));
        };
        add("run", run.map(public));
        add("model", self.model.model.as_deref().map(public));
        add("adapter", self.model.adapter.as_deref().map(public));
        add("weights", (self.model.weights == Weights::Raw).then(|| "raw".to_owned()));
        add("precision", (self.model.precision != "auto").then(|| self.model.precision.clone()));
        add("data", self.data.as_deref().map(source_name));
        add("only", Some(number.to_string()));
        add("seed", (self.seed != 0).then(|| self.seed.to_string()));
        add("samples", self.samples.filter(|_| number == 7).map(|samples| samples.to_string()));
        add("steps", self.steps.filter(|_| matches!(number, 7 | 10)).map(|steps| steps.to_string()));
        for (flag, is_set) in
            [("--best", self.model.best), ("--any-size", self.model.any_size), ("--quick", self.quick)]
        {
            words.extend(is_set.then(|| flag.to_owned()));
        }
        words.join(" ")
    }
}

/// The line of a figure. `loaded` is the network that drew it.
fn line(
    number: usize,
    command: &str,
    subject: &Subject,
    loaded: Option<&Loaded>,
    (plan, seed, weights): (&Plan, u64, Weights),
) -> anyhow::Result<String> {
    let made = match (number, loaded) {
        (1 | 5, _) => "computed from the configuration, without random numbers or network calls".to_owned(),
        (2..=4, _) | (_, None) => format!("seed {seed}; no network calls"),
        (6, Some(loaded)) => {
            format!("from the log of the run up to step {}; no network calls", grouped(loaded.step))
        }
        (20, Some(_)) => from_evaluation(subject),
        (_, Some(loaded)) => {
            let Calls { per_image, sampler } = calls(number, loaded, plan)?;
            let kind = if weights == Weights::Raw { "weights as trained" } else { "averaged weights (EMA)" };
            let step = grouped(loaded.step);
            format!(
                "seed {seed}; {per_image} network calls per image; {sampler}; checkpoint of step {step}, {kind}"
            )
        }
    };
    Ok(format!("`{command}`; {made}."))
}

fn from_evaluation(subject: &Subject) -> String {
    let evaluation = subject.evaluation.as_ref().ok().and_then(Option::as_ref);
    let step = evaluation.and_then(|evaluation| evaluation.step).map(grouped);
    let of = step.map(|step| format!(" of step {step}")).unwrap_or_default();
    let seed = evaluation.map(|evaluation| format!(", seed {}", evaluation.seed)).unwrap_or_default();
    format!("from the newest evaluation{of}{seed}; no further network calls")
}

fn calls(number: usize, loaded: &Loaded, plan: &Plan) -> anyhow::Result<Calls> {
    let path = &*loaded.path;
    let said = |per_image: String, sampler: &str| Calls { per_image, sampler: sampler.to_owned() };
    Ok(match number {
        7 => said(plan.steps.to_string(), "DDPM"),
        8 => said(plan.long.to_string(), "DDPM"),
        9 => said(plan.long.to_string(), "DDPM with both variances"),
        10 => said(format!("up to {}", plan.steps), "DDPM"),
        11 => said(list(&plan.fewer), "DDPM and DDIM (η = 0)"),
        12 => said(format!("at most {}", list(&plan.solver_calls)), "nine solvers"),
        13 => {
            let fast = FAST_CALLS.min(path.steps());
            said(list(&[plan.long, fast]), "DDPM and DPM-Solver++ (2M)")
        }
        14 => {
            let steps = format!("{} (reference: {})", list(&plan.convergence_calls), plan.reference);
            said(steps, "six deterministic solvers")
        }
        15 => {
            let steps = plan.guided_steps.to_string();
            said(steps, "DPM-Solver++ (2M), above w = 1 with and without the class in each call")
        }
        16 => {
            let (mixed, _) = diffusing(loaded, plan)?;
            let flow = there_and_back(loaded, plan);
            let both = Encoder::new(path, &flow)?.calls() + Sampler::new(path, &flow)?.calls();
            said(
                list(&[mixed.calls(), both]),
                "DPM-Solver++ (2M) for the diffused, Heun both ways for the encoded",
            )
        }
        18 => {
            let heun = there_and_back(loaded, plan);
            let ddim = SamplerConfig { method: Method::Ddim { eta: 0.0 }, ..heun.clone() };
            let both = |config: &SamplerConfig| {
                anyhow::Ok(Encoder::new(path, config)?.calls() + Sampler::new(path, config)?.calls())
            };
            said(list(&[both(&ddim)?, both(&heun)?]), "DDIM and Heun, both ways")
        }
        _ => {
            let sampler = Sampler::new(path, &filling(loaded, plan))?;
            let steps = resampling(&sampler).reverse_steps(sampler.steps())?;
            said(steps.to_string(), "DDPM, resampled")
        }
    })
}

/// `10, 20 and 50`.
fn list(numbers: &[usize]) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match texts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => texts.concat(),
    }
}

/// A path as a page may show it: whole where it says nothing about this machine, else its last part.
fn public(path: &Path) -> String {
    let below = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let text = if path.components().all(below) { path.display().to_string() } else { name_of(path) };
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_draws_one_figure_with_the_same_settings() {
        let command = |line: &str, number, run: &str| {
            let words = line.split_whitespace();
            let parsed =
                <Figures as clap::Args>::augment_args(clap::Command::new("figures")).get_matches_from(words);
            let figures = <Figures as clap::FromArgMatches>::from_arg_matches(&parsed).unwrap();
            figures.command(number, Some(Path::new(run)))
        };
        assert_eq!(command("figures", 1, "runs/a"), "ddpm figures --run runs/a --only 1");
        let line = "figures --seed 3 --steps 40 --samples 9 --quick --weights raw --best --only 7-9 --out x";
        assert_eq!(
            command(line, 7, "/home/somebody/runs/a"),
            "ddpm figures --run a --weights raw --only 7 --seed 3 --samples 9 --steps 40 --best --quick"
        );
        assert!(!command(line, 8, "runs/a").contains("40"));
    }

    #[test]
    fn numbers_are_listed() {
        assert_eq!(
            [list(&[]), list(&[5]), list(&[5, 7]), list(&[5, 7, 9])],
            ["", "5", "5 and 7", "5, 7 and 9"]
        );
    }

    #[test]
    fn folders_of_this_machine_do_not_show() {
        let shown = |path: &str| public(Path::new(path));
        assert_eq!(shown("runs/mine"), "runs/mine");
        assert_eq!(shown("./my run"), "'./my run'");
        assert_eq!(shown("/home/somebody/runs/mine"), "mine");
        assert_eq!(shown("../somebody/mine"), "mine");
    }
}
