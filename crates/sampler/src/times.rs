//! The levels that a chain of fewer than T steps passes through, from the noisiest on.

use std::fmt;
use std::str::FromStr;

use schedule::{Level, NoisePath, ScheduleError, Spacing, timesteps};

use crate::error::SamplerError;
use crate::grid::Grid;

/// Levels above this `sigma / alpha` are not worth a step: 0.004 % of the variance is signal. The paper's chain ends
/// at 157, that of Karras et al. 2022 at 80. A cosine chain ends at 20,000, where steps of a higher-order method only
/// multiply its errors.
const FARTHEST: f64 = 160.0;

/// The choice of levels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Times {
    /// Whole steps of the chain.
    Spaced(Spacing),
    /// `sigma^(1/rho)` evenly spaced, `sigma = sigma_t / alpha_t`, from that of T - 1 to that of t = 0 (Karras et al.
    /// 2022, Eq. 5, whose rho is 7): most steps at low noise.
    Karras {
        /// At least 1.
        rho: f64,
        /// See [`Times::whole`].
        whole: bool,
    },
    /// `lambda`, half the log signal-to-noise ratio, evenly spaced between the same ends (Lu et al. 2022).
    LogSnr {
        /// See [`Times::whole`].
        whole: bool,
    },
    /// These times in `0..=T-1`, falling.
    Given(Vec<f64>),
    /// These levels, with falling noise; the t passed to the network need not be the t of that noise.
    Levels(Vec<Level>),
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the data: the last step gives the network's last predicted image.
    Data,
    /// At the level of t = 0, with its small noise left.
    FirstStep,
}

impl Times {
    /// Whether the times are moved to the nearest whole steps, all different, and take those steps' levels.
    ///
    /// A network was trained on whole t. Whether it can handle a t in between depends on its time embedding. The
    /// sinusoids of the transformer turn by at most one radian a step and can be interpolated. An embedding that
    /// reaches the Nyquist frequency turns by half a cycle a step, so half a step leads to values never seen in
    /// training.
    #[must_use]
    pub fn whole(&self) -> bool {
        match self {
            Self::Spaced(_) => true,
            Self::Karras { whole, .. } | Self::LogSnr { whole } => *whole,
            Self::Given(times) => times.iter().all(|t| t.fract() == 0.0),
            Self::Levels(levels) => levels.iter().all(|level| level.t.fract() == 0.0),
        }
    }

    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["leading", "trailing", "linspace", "quadratic", "karras", "log-snr"];

    /// The levels of `steps` steps below `t_start`, in `1..=T`, which is also the number of whole steps available.
    ///
    /// # Errors
    /// [`SamplerError::Schedule`] for times out of range; [`SamplerError::Grid`] for given times that do not fall.
    pub fn grid(
        &self,
        path: &dyn NoisePath,
        t_start: usize,
        steps: usize,
        end: End,
    ) -> Result<Grid, SamplerError> {
        let last = match end {
            End::Data => Level::DATA,
            End::FirstStep => path.level_at(0.0)?,
        };
        let times = match self {
            Self::Spaced(spacing) => spaced(*spacing, t_start, steps)?,
            Self::Given(times) => times.clone(),
            Self::Levels(levels) => return Grid::new(levels.clone(), last),
            Self::Karras { whole, .. } | Self::LogSnr { whole } => {
                let levels = self.between(path, t_start, steps, end)?;
                // Levels between steps are as good if the network was trained on them.
                if !whole || !path.is_discrete() {
                    return Grid::new(levels, last);
                }
                // A chain that ends at t = 0 must stay above it until then.
                let lowest = usize::from(end == End::FirstStep && steps < t_start);
                snapped(&levels, t_start, lowest)
            }
        };
        Grid::at_times(path, &times, last)
    }

    /// Levels evenly spaced in a function of the noise-to-signal ratio.
    fn between(
        &self,
        path: &dyn NoisePath,
        t_start: usize,
        steps: usize,
        end: End,
    ) -> Result<Vec<Level>, SamplerError> {
        let (highest, lowest) = (path.level_at((t_start - 1) as f64)?, path.level_at(0.0)?);
        // The end itself counts as a level when the chain ends there.
        let gaps = if end == End::FirstStep { steps } else { steps - 1 };
        // The chain still starts at its own level, and the first step leads from there to the next.
        let (high, low) = (self.warp(highest.ratio().min(FARTHEST)), self.warp(lowest.ratio()));
        (0..steps)
            .map(|i| match i {
                0 => Ok(highest),
                _ if i == gaps => Ok(lowest),
                _ => {
                    let warped = high + (low - high) * i as f64 / gaps as f64;
                    Ok(path.level_of_ratio(self.unwarp(warped))?)
                }
            })
            .collect()
    }

    fn warp(&self, ratio: f64) -> f64 {
        match self {
            Self::Karras { rho, .. } => ratio.powf(1.0 / rho),
            _ => ratio.ln(),
        }
    }

    fn unwarp(&self, warped: f64) -> f64 {
        match self {
            Self::Karras { rho, .. } => warped.powf(*rho),
            _ => warped.exp(),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), SamplerError> {
        match *self {
            Self::Karras { rho, .. } if !(rho >= 1.0 && rho.is_finite()) => Err(SamplerError::Value {
                what: "rho",
                got: rho,
                expected: "a number of 1 or more, 7 for example",
            }),
            _ => Ok(()),
        }
    }
}

/// Whole times, falling, all different: the nearest to the wanted ones that leave room for those after them.
fn snapped(levels: &[Level], t_start: usize, lowest: usize) -> Vec<f64> {
    let mut above = t_start;
    levels
        .iter()
        .enumerate()
        .map(|(i, level)| {
            let room_below = levels.len() - 1 - i + lowest;
            let t = (level.t.round() as usize).max(room_below).min(above.saturating_sub(1));
            above = t;
            t as f64
        })
        .collect()
}

/// Whole steps, falling. A single one starts from `t_start - 1` whatever the spacing: most spacings would keep only t
/// = 0, where an image is hardly diffused at all.
fn spaced(spacing: Spacing, t_start: usize, steps: usize) -> Result<Vec<f64>, SamplerError> {
    if steps == 1 && t_start >= 1 {
        return Ok(vec![(t_start - 1) as f64]);
    }
    let kept = timesteps(spacing, t_start, steps)?;
    Ok(kept.into_iter().rev().map(|t| t as f64).collect())
}

/// `karras` has rho = 7; it and `log-snr` use whole steps.
impl FromStr for Times {
    type Err = SamplerError;

    fn from_str(name: &str) -> Result<Self, SamplerError> {
        match name {
            "karras" => Ok(Self::Karras { rho: 7.0, whole: true }),
            "log-snr" => Ok(Self::LogSnr { whole: true }),
            _ => Ok(Self::Spaced(name.parse().map_err(|_: ScheduleError| SamplerError::UnknownName {
                what: "spacing",
                got: name.to_owned(),
                expected: Self::NAMES,
            })?)),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spaced(spacing) => spacing.name(),
            Self::Karras { .. } => "karras",
            Self::LogSnr { .. } => "log-snr",
            Self::Given(_) | Self::Levels(_) => "given",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    /// Between whole steps.
    fn grid(name: &str, steps: usize, end: End) -> Grid {
        let times = match name {
            "karras" => Times::Karras { rho: 7.0, whole: false },
            _ => Times::LogSnr { whole: false },
        };
        times.grid(&Schedule::ddpm(), 1000, steps, end).unwrap()
    }

    #[test]
    fn snapped_times_are_whole_and_near() {
        let schedule = Schedule::ddpm();
        for name in ["karras", "log-snr"] {
            for steps in [1, 2, 7, 50, 400, 999, 1000] {
                for (t_start, end) in [(1000, End::Data), (1000, End::FirstStep), (steps, End::Data)] {
                    let grid = name.parse::<Times>().unwrap().grid(&schedule, t_start, steps, end).unwrap();
                    let times: Vec<f64> = (0..steps).map(|i| grid.level(i).t).collect();
                    assert!(times.iter().all(|t| t.fract() == 0.0), "{name}, {steps}: {times:?}");
                    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{name}, {steps}: {times:?}");
                    assert_eq!(times[0], (t_start - 1) as f64);
                    assert_eq!(grid.level(0), schedule.level_at(times[0]).unwrap());
                }
            }
        }
        let whole = "log-snr".parse::<Times>().unwrap().grid(&schedule, 1000, 9, End::Data).unwrap();
        for i in 0..9 {
            assert!((whole.level(i).t - grid("log-snr", 9, End::Data).level(i).t).abs() <= 0.5);
        }
    }

    #[test]
    fn names_round_trip() {
        for name in Times::NAMES {
            assert_eq!(name.parse::<Times>().unwrap().to_string(), *name);
        }
        let error = "uniform".parse::<Times>().unwrap_err().to_string();
        assert!(error.ends_with("leading, trailing, linspace, quadratic, karras, log-snr"), "{error}");
    }

    #[test]
    fn karras_and_log_snr_are_even_in_their_own_variable() {
        type Variable = fn(Level) -> f64;
        let cases: [(&str, Variable); 2] =
            [("karras", |level| level.ratio().powf(1.0 / 7.0)), ("log-snr", |level| level.lambda())];
        for (name, variable) in cases {
            for (end, levels) in [(End::Data, 9), (End::FirstStep, 10)] {
                let grid = grid(name, 9, end);
                assert_eq!(grid.level(0), Schedule::ddpm().level_at(999.0).unwrap());
                assert_eq!(grid.level(levels - 1), Schedule::ddpm().level_at(0.0).unwrap());
                let gaps: Vec<f64> =
                    (1..levels).map(|i| variable(grid.level(i)) - variable(grid.level(i - 1))).collect();
                assert!(gaps.iter().all(|gap| (gap / gaps[0] - 1.0).abs() < 1e-9), "{name}: {gaps:?}");
            }
        }
    }

    /// numpy: `(max**(1/7) + np.linspace(0, 1, 5) * (min**(1/7) - max**(1/7)))**7` with the ratios of t = 999 and 0.
    #[test]
    fn karras_goldens() {
        let want = [157.407_280_8, 36.908_951_6, 5.911_208_8, 0.491_301_2, 0.010_000_5];
        for (i, want) in want.into_iter().enumerate() {
            let got = grid("karras", 5, End::Data).level(i).ratio();
            assert!((got / want - 1.0).abs() < 1e-6, "{i}: {got} is not {want}");
        }
    }

    #[test]
    fn one_step_starts_at_the_start() {
        for name in Times::NAMES {
            let times: Times = name.parse().unwrap();
            let grid = times.grid(&Schedule::ddpm(), 300, 1, End::Data).unwrap();
            assert_eq!((grid.steps(), grid.level(0).t), (1, 299.0), "{name}");
        }
    }

    /// In chains that end with no signal, or almost none, a single step leads out of that region.
    #[test]
    fn few_steps_are_spent_where_there_is_no_signal() {
        let cosine = schedule::BetaSchedule::from_name("cosine").unwrap();
        let cosine = Schedule::new(&cosine, 1000).unwrap();
        for schedule in [Schedule::ddpm().with_zero_terminal_snr().unwrap(), cosine] {
            for name in Times::NAMES {
                let grid = name.parse::<Times>().unwrap().grid(&schedule, 1000, 10, End::Data).unwrap();
                let spaced = !["karras", "log-snr"].contains(name);
                assert!(spaced || grid.level(0).t == 999.0, "{name}: {:?}", grid.level(0));
                assert!(spaced || grid.level(1).ratio() < FARTHEST, "{name}: {:?}", grid.level(1));
            }
        }
    }
}
