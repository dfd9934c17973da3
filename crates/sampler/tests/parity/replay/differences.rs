//! Where we do not do what the peer does, and why.

use schedule::Spacing;

use super::goldens::{Run, Scheduler};
use super::settings::{FinalSigma, VarianceType};

/// Why a run of ours has to end elsewhere; `None` where it must not.
pub(crate) fn reason(run: &Run) -> Option<&'static str> {
    let (scheduler, settings) = (run.record.scheduler, &run.settings);
    let ends_above_0 = run.record.timesteps.last().is_some_and(|&t| t > 0.0);
    match scheduler {
        Scheduler::Ddpm if settings.variance_type == Some(VarianceType::FixedLarge) && ends_above_0 => {
            Some("it adds noise in the step to the data unless that starts at t = 0; Algorithm 2 adds none")
        }
        Scheduler::Ddim | Scheduler::Pndm if uneven(run) => Some(
            "it steps to t - floor(T / n), but asks the network at the next t of its list, which is another one",
        ),
        Scheduler::Pndm if settings.prediction() == schedule::Prediction::V => Some(
            "it extrapolates v, which is another mixture of x_0 and eps at each t; the method is for eps",
        ),
        Scheduler::DpmSolver
            if settings.euler_at_final && settings.final_sigmas_type == Some(FinalSigma::SigmaMin) =>
        {
            Some(
                "it can lower the order of the last step alone; ours lowers those of the last two, in short chains",
            )
        }
        Scheduler::UniPc
            if !settings.disable_corrector.is_empty()
                && settings.disable_corrector.len() < run.record.steps =>
        {
            Some("it can leave out the corrector at some steps; ours works at all or none")
        }
        _ => None,
    }
}

/// Whether a list has other gaps than `floor(T / n)`.
fn uneven(run: &Run) -> bool {
    match run.settings.spacing() {
        Spacing::Leading => false,
        Spacing::Trailing => !run.settings.num_train_timesteps.is_multiple_of(run.record.steps),
        _ => true,
    }
}
