//! Our solver for each scheduler of the peer.

use anyhow::{Result, bail};
use sampler::{BFunction, ChurnSettings, Correction, Deis, DpmPp, Method, UniPc};
use schedule::Variance;

use super::goldens::{Run, Scheduler};
use super::settings::{Algorithm, Settings, SolverType, VarianceType};

/// The solver with the peer's options, as far as ours has them.
pub(crate) fn method(run: &Run) -> Result<Method> {
    let Run { record, settings, .. } = run;
    let (order, lower_order_final) = (settings.solver_order, settings.lower_order_final);
    Ok(match record.scheduler {
        Scheduler::Ddpm => match settings.variance_type {
            Some(VarianceType::FixedSmall) => Method::Ddpm { variance: Variance::FixedSmall },
            Some(VarianceType::FixedLarge) => Method::Ddpm { variance: Variance::FixedLarge },
            Some(VarianceType::LearnedRange) => Method::DdpmLearned,
            None => bail!("variance_type: expected one, found none"),
        },
        Scheduler::Ddim => Method::Ddim { eta: settings.eta },
        Scheduler::DpmSolver => Method::DpmPp(dpmpp(settings)?),
        Scheduler::UniPc => Method::UniPc(UniPc {
            order,
            b: match settings.solver_type {
                Some(SolverType::Bh1) => BFunction::H,
                Some(SolverType::Bh2) => BFunction::ExpM1,
                other => bail!("solver_type: expected bh1 or bh2, found {other:?}"),
            },
            lower_order_final,
            // Ours corrects all steps or none.
            correct: settings.disable_corrector.len() < record.steps,
        }),
        Scheduler::Pndm => Method::Pndm { runge_kutta: !settings.skip_prk_steps },
        Scheduler::Deis => Method::Deis(Deis { order, lower_order_final }),
        Scheduler::Euler => Method::Euler { churn: ChurnSettings::NONE },
        Scheduler::EulerAncestral => Method::EulerAncestral { eta: 1.0 },
        Scheduler::Heun => Method::Heun { churn: ChurnSettings::NONE },
    })
}

fn dpmpp(settings: &Settings) -> Result<DpmPp> {
    let sde = match settings.algorithm_type {
        Some(Algorithm::DpmSolver) => false,
        Some(Algorithm::SdeDpmSolver) => true,
        other => bail!("algorithm_type: expected dpmsolver++ or sde-dpmsolver++, found {other:?}"),
    };
    let correction = match settings.solver_type {
        Some(SolverType::Midpoint) => Correction::Midpoint,
        Some(SolverType::Heun) => Correction::Taylor,
        other => bail!("solver_type: expected midpoint or heun, found {other:?}"),
    };
    Ok(DpmPp {
        order: settings.solver_order,
        correction,
        sde,
        lower_order_final: settings.lower_order_final,
        // The peer's third-order step has that factor.
        half_third: true,
    })
}
