//! The one choice of solver.

use std::fmt;
use std::str::FromStr;

use schedule::{NoisePath, Variance};

use crate::error::SamplerError;
use crate::grid::Grid;
use crate::solvers::{self, ChurnSettings, Correction, Deis, DpmPp, UniPc};
use crate::stage::Stage;

/// The solver, with its own parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Ancestral sampling, Algorithm 2 (Ho et al. 2020).
    Ddpm {
        /// `sigma_t^2`.
        variance: Variance,
    },
    /// The same with the variance that the network predicts, for networks with twice the output channels (Nichol &
    /// Dhariwal 2021).
    DdpmLearned,
    /// Denoising diffusion implicit models (Song et al. 2021).
    Ddim {
        /// Scale of the noise: 0 is deterministic, 1 is DDPM with [`Variance::FixedSmall`].
        eta: f64,
    },
    /// DPM-Solver++ (Lu et al. 2022b).
    DpmPp(DpmPp),
    /// UniPC (Zhao et al. 2023).
    UniPc(UniPc),
    /// PNDM (Liu et al. 2022).
    Pndm {
        /// First steps by Runge-Kutta; otherwise PLMS.
        runge_kutta: bool,
    },
    /// Heun's method (Karras et al. 2022).
    Heun {
        /// Noise added before each step.
        churn: ChurnSettings,
    },
    /// Euler's method (Karras et al. 2022).
    Euler {
        /// Noise added before each step.
        churn: ChurnSettings,
    },
    /// Euler steps with ancestral noise.
    EulerAncestral {
        /// Scale of the noise: 0 is Euler's method.
        eta: f64,
    },
    /// DEIS (Zhang & Chen 2023).
    Deis(Deis),
    /// New noise on the network's image at each step, for networks tuned for consistency (Song et al. 2023).
    Consistency,
}

impl Method {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &[
        "ddpm",
        "ddpm-learned",
        "ddim",
        "dpmpp-1",
        "dpmpp-2m",
        "dpmpp-3m",
        "dpmpp-2m-sde",
        "unipc",
        "plms",
        "pndm",
        "euler",
        "euler-ancestral",
        "heun",
        "deis",
        "consistency",
    ];

    /// The solver's name, without its finer parameters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry().0
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.entry().1
    }

    /// Name and description.
    fn entry(&self) -> (&'static str, &'static str) {
        match self {
            Self::Ddpm { .. } => ("ddpm", "Algorithm 2, all T steps by default"),
            Self::DdpmLearned => ("ddpm-learned", "the same with the learned variance"),
            Self::Ddim { .. } => ("ddim", "50 steps by default"),
            Self::DpmPp(DpmPp { sde: true, .. }) => ("dpmpp-2m-sde", "DPM-Solver++ of order 2 with noise"),
            Self::DpmPp(DpmPp { order: 1, .. }) => ("dpmpp-1", "DPM-Solver++ of order 1"),
            Self::DpmPp(DpmPp { order: 2, .. }) => {
                ("dpmpp-2m", "DPM-Solver++ of order 2, 15 steps by default")
            }
            Self::DpmPp(_) => ("dpmpp-3m", "DPM-Solver++ of order 3, 15 steps by default"),
            Self::UniPc(_) => ("unipc", "predictor and corrector, 15 steps by default"),
            Self::Pndm { runge_kutta: false } => ("plms", "pseudo linear multistep"),
            Self::Pndm { runge_kutta: true } => ("pndm", "the same, begun with Runge-Kutta steps"),
            Self::Heun { .. } => ("heun", "order 2, two calls a step"),
            Self::Euler { .. } => ("euler", "order 1"),
            Self::EulerAncestral { .. } => ("euler-ancestral", "Euler with new noise"),
            Self::Deis(_) => ("deis", "exponential integrator, 15 steps by default"),
            Self::Consistency => ("consistency", "1 to 4 steps, for networks tuned for consistency"),
        }
    }

    /// The number of steps that gives good images; more steps gain little. `None` for the solvers that need all T.
    #[must_use]
    pub fn recommended_steps(&self) -> Option<usize> {
        match self {
            Self::Ddpm { .. } | Self::DdpmLearned => None,
            Self::Consistency => Some(2),
            Self::Ddim { .. } | Self::Euler { .. } | Self::EulerAncestral { .. } => Some(50),
            Self::DpmPp(DpmPp { order: 1, .. }) | Self::Pndm { .. } => Some(50),
            Self::DpmPp(DpmPp { sde: true, .. }) | Self::Heun { .. } => Some(25),
            Self::DpmPp(_) | Self::UniPc(_) | Self::Deis(_) => Some(15),
        }
    }

    /// Whether the images depend on the noise as well as on the start.
    #[must_use]
    pub fn is_stochastic(&self) -> bool {
        match self {
            Self::Ddpm { .. } | Self::DdpmLearned | Self::Consistency => true,
            Self::Ddim { eta } | Self::EulerAncestral { eta } => *eta > 0.0,
            Self::DpmPp(settings) => settings.sde,
            Self::Heun { churn } | Self::Euler { churn } => churn.amount > 0.0,
            Self::UniPc(_) | Self::Pndm { .. } | Self::Deis(_) => false,
        }
    }

    /// The calls and weights on a grid of the path's levels.
    ///
    /// # Errors
    /// [`SamplerError::Schedule`] for a grid that is not the path's.
    pub fn stages(&self, grid: &Grid, path: &dyn NoisePath) -> Result<Vec<Stage>, SamplerError> {
        Ok(match self {
            Self::Ddpm { variance } => solvers::ddpm(grid, *variance),
            Self::DdpmLearned => solvers::ddpm_learned(grid),
            Self::Ddim { eta } => solvers::ddim(grid, *eta),
            Self::DpmPp(settings) => solvers::dpmpp(grid, settings),
            Self::UniPc(settings) => solvers::unipc(grid, settings),
            Self::Pndm { runge_kutta } => solvers::pndm(grid, path, *runge_kutta)?,
            Self::Heun { churn } => solvers::heun(grid, path, churn)?,
            Self::Euler { churn } => solvers::euler(grid, path, churn)?,
            Self::EulerAncestral { eta } => solvers::euler_ancestral(grid, *eta),
            Self::Deis(settings) => solvers::deis(grid, settings),
            Self::Consistency => solvers::consistency(grid),
        })
    }

    /// Checks the parameters.
    pub(crate) fn validate(&self) -> Result<(), SamplerError> {
        match *self {
            // NaN is outside every range.
            Self::Ddim { eta } | Self::EulerAncestral { eta } if !(0.0..=1.0).contains(&eta) => {
                Err(SamplerError::Eta { got: eta })
            }
            Self::DpmPp(DpmPp { order, sde, .. }) => check_order(order, if sde { 2 } else { 3 }),
            Self::UniPc(UniPc { order, .. }) | Self::Deis(Deis { order, .. }) => check_order(order, 3),
            Self::Heun { churn } | Self::Euler { churn } => check_churn(&churn),
            _ => Ok(()),
        }
    }
}

fn check_order(got: usize, highest: usize) -> Result<(), SamplerError> {
    if (1..=highest).contains(&got) { Ok(()) } else { Err(SamplerError::Order { got, highest }) }
}

fn check_churn(churn: &ChurnSettings) -> Result<(), SamplerError> {
    let check = |what, got: f64, good: bool, expected| {
        if good { Ok(()) } else { Err(SamplerError::Value { what, got, expected }) }
    };
    let (low, high) = churn.range;
    // NaN fails both.
    let amount = churn.amount.is_finite() && churn.amount >= 0.0;
    check("churn", churn.amount, amount, "a finite number, 0 (none) or more")?;
    check("churn noise", churn.noise, (0.0..=10.0).contains(&churn.noise), "0 to 10 (1 is usual)")?;
    check("churn range", low, low >= 0.0 && low <= high, "sigmas of 0 or more, the lower one first")
}

/// `ddpm` is [`Variance::FixedSmall`], which also does well in short chains; over all 1000 steps
/// [`Variance::FixedLarge`] did better on CIFAR-10 (Song et al. 2021, Table 1, rows eta = 1 and sigma-hat). `ddim` is
/// eta = 0, `euler-ancestral` eta = 1; `heun` and `euler` have no churn, `unipc` and `deis` have order 3.
impl FromStr for Method {
    type Err = SamplerError;

    fn from_str(name: &str) -> Result<Self, SamplerError> {
        Ok(match name {
            "ddpm" => Self::Ddpm { variance: Variance::FixedSmall },
            "ddpm-learned" => Self::DdpmLearned,
            "ddim" => Self::Ddim { eta: 0.0 },
            "dpmpp-1" => Self::DpmPp(DpmPp::multistep(1)),
            "dpmpp-2m" => Self::DpmPp(DpmPp::multistep(2)),
            "dpmpp-3m" => Self::DpmPp(DpmPp { correction: Correction::Taylor, ..DpmPp::multistep(3) }),
            "dpmpp-2m-sde" => Self::DpmPp(DpmPp { sde: true, ..DpmPp::multistep(2) }),
            "unipc" => Self::UniPc(UniPc::of_order(3)),
            "plms" => Self::Pndm { runge_kutta: false },
            "pndm" => Self::Pndm { runge_kutta: true },
            "heun" => Self::Heun { churn: ChurnSettings::NONE },
            "euler" => Self::Euler { churn: ChurnSettings::NONE },
            "euler-ancestral" => Self::EulerAncestral { eta: 1.0 },
            "deis" => Self::Deis(Deis { order: 3, lower_order_final: true }),
            "consistency" => Self::Consistency,
            _ => {
                return Err(SamplerError::UnknownName {
                    what: "sampler",
                    got: name.to_owned(),
                    expected: Self::NAMES,
                });
            }
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    #[test]
    fn names_round_trip() {
        for name in Method::NAMES {
            let method: Method = name.parse().unwrap();
            assert_eq!(method.to_string(), *name);
            assert!(method.about().len() > 5 && method.about() != *name, "{name}: {}", method.about());
            method.validate().unwrap();
        }
        let error = "eular".parse::<Method>().unwrap_err().to_string();
        assert!(error.starts_with("unknown sampler \"eular\", expected one of: ddpm, "), "{error}");
    }

    /// No sum uses a memory that does not exist yet, or a held state before there is one.
    #[test]
    fn every_sum_finds_what_it_weighs() {
        let schedule = Schedule::ddpm();
        for name in Method::NAMES {
            let method: Method = name.parse().unwrap();
            for steps in [1, 2, 3, 4, 5, 16] {
                let times: Vec<f64> =
                    (1..=steps).rev().map(|i| f64::from(i) * 900.0 / f64::from(steps)).collect();
                let grid = Grid::at_times(&schedule, &times, schedule::Level::DATA).unwrap();
                let (mut known, mut held) = (0, false);
                for stage in method.stages(&grid, &schedule).unwrap() {
                    known += 1;
                    assert!(stage.asked() <= known, "{name}, {steps} steps: {stage:?}");
                    assert!(
                        held || stage.hold.as_ref().is_none_or(|sum| sum.held == 0.0),
                        "{name}: {stage:?}"
                    );
                    held |= stage.hold.is_some();
                    assert!(held || stage.next.held == 0.0, "{name}: {stage:?}");
                    known -= stage.forget;
                }
            }
        }
    }

    #[test]
    fn parameters_out_of_range() {
        for eta in [-0.1, 1.0 + 1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for method in [Method::Ddim { eta }, Method::EulerAncestral { eta }] {
                assert!(
                    matches!(method.validate(), Err(SamplerError::Eta { got }) if got.total_cmp(&eta).is_eq())
                );
            }
        }
        for order in [0, 4] {
            assert!(matches!(
                Method::DpmPp(DpmPp::multistep(order)).validate(),
                Err(SamplerError::Order { highest: 3, .. })
            ));
            assert!(Method::UniPc(UniPc::of_order(order)).validate().is_err());
            assert!(Method::Deis(Deis { order, lower_order_final: true }).validate().is_err());
        }
        assert!(Method::DpmPp(DpmPp { sde: true, ..DpmPp::multistep(3) }).validate().is_err());
        let none = ChurnSettings::NONE;
        for churn in [
            ChurnSettings { amount: -1.0, ..none },
            ChurnSettings { amount: f64::NAN, ..none },
            ChurnSettings { amount: f64::INFINITY, ..none },
            ChurnSettings { noise: -1.0, ..none },
            ChurnSettings { range: (2.0, 1.0), ..none },
            ChurnSettings { range: (f64::NAN, 1.0), ..none },
        ] {
            assert!(
                matches!(Method::Heun { churn }.validate(), Err(SamplerError::Value { .. })),
                "{churn:?}"
            );
        }
    }
}
