//! The line under each figure of the report: the command that draws it, the seed, the network calls, and the weights.

use std::path::{Component, Path};

use sampler::{Encoder, Method, Sampler, SamplerConfig};

use crate::commands::figures::edits::{diffusing, filling, resampling, there_and_back};
use crate::commands::figures::plan::{FAST_CALLS, Plan};
use crate::commands::figures::subject::Subject;
use crate::commands::reporting::numbers::grouped;
use crate::commands::reporting::settings::name_of;
use crate::flags::Weights;
use crate::model::Loaded;

/// How a network was used for a figure.
struct Calls {
    /// Calls for an image, as text: a figure may have several samplers.
    per_image: String,
    sampler: String,
}

/// The line of a figure. `loaded` is the network that drew it.
pub(super) fn line(
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
            let steps = format!(
                "at most {}, and {} for the reference,",
                list(&plan.convergence_calls),
                plan.reference
            );
            said(steps, "six deterministic solvers")
        }
        15 => {
            let steps = format!("{} (above w = 1 each with and without the class)", plan.guided_steps);
            said(steps, "DPM-Solver++ (2M)")
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
pub(super) fn public(path: &Path) -> String {
    let below = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let text = if path.components().all(below) { path.display().to_string() } else { name_of(path) };
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

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
