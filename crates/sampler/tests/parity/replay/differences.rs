//! Where we differ from the peer on purpose, and why.

use schedule::Spacing;

use super::goldens::{Run, Scheduler};
use super::settings::{FinalSigma, VarianceType};

/// Why our result must differ in a run; `None` where it must agree.
pub(crate) fn reason(run: &Run) -> Option<&'static str> {
    let (scheduler, settings) = (run.record.scheduler, &run.settings);
    let ends_above_0 = run.record.timesteps.last().is_some_and(|&t| t > 0.0);
    match scheduler {
        Scheduler::Ddpm if settings.variance_type == Some(VarianceType::FixedLarge) && ends_above_0 => {
            Some("it adds noise in the step to the data unless that starts at t = 0; Algorithm 2 adds none")
        }
        Scheduler::Ddim | Scheduler::Pndm if uneven(run) => Some(
            "it steps to t - floor(T / n), but calls the network at the next t of its list, which differs",
        ),
        Scheduler::Pndm if settings.prediction() == schedule::Prediction::V => {
            Some("it extrapolates v, which mixes x_0 and eps differently at each t; the method is for eps")
        }
        Scheduler::DpmSolver
            if settings.euler_at_final && settings.final_sigmas_type == Some(FinalSigma::SigmaMin) =>
        {
            Some(
                "it can lower the order of the last step only; ours lowers those of the last two, in short chains",
            )
        }
        Scheduler::UniPc
            if !settings.disable_corrector.is_empty()
                && settings.disable_corrector.len() < run.record.steps =>
        {
            Some("it can skip the corrector at some steps; ours corrects all or none")
        }
        _ => None,
    }
}

/// Whether the gaps of a list differ from `floor(T / n)`.
fn uneven(run: &Run) -> bool {
    match run.settings.spacing() {
        Spacing::Leading => false,
        Spacing::Trailing => !run.settings.num_train_timesteps.is_multiple_of(run.record.steps),
        _ => true,
    }
}
