//! What all forward processes have in common: at each time, how much of the data is left and how much noise there is.

use std::fmt::Debug;

use crate::{Level, Schedule, ScheduleError};

/// A path from data to noise, `x_t = alpha(t) x_0 + sigma(t) eps`. The trainer and the samplers know nothing else of
/// a process.
///
/// Every path counts time in steps of a chain: T - 1 is the noisiest level and -1 the data, where the paper has T and
/// 0. A path without steps is cut into T parts, so that `t`, "the last 100 steps" and an even spacing mean the same
/// on every path.
pub trait NoisePath: Debug + Send + Sync {
    /// T: the number of steps of a chain, or of parts of a path without steps.
    fn steps(&self) -> usize;

    /// Whether a network is trained on whole t only.
    fn is_discrete(&self) -> bool;

    /// The level at a time in `0..=T-1`, whole or not.
    ///
    /// # Errors
    /// [`ScheduleError::Time`] for a time out of range or not a number; [`ScheduleError::NoSignal`] between two steps
    /// where there is nothing to interpolate to.
    fn level_at(&self, t: f64) -> Result<Level, ScheduleError>;

    /// The level with a noise-to-signal ratio `sigma / alpha`. A ratio beyond the path's ends is kept, at the t of that end.
    ///
    /// # Errors
    /// [`ScheduleError::Parameter`] for a ratio that is not a number above 0.
    fn level_of_ratio(&self, ratio: f64) -> Result<Level, ScheduleError>;

    /// The level at a share in (0, 1) of the way from data to noise; on a chain, the step that the share falls in.
    ///
    /// # Errors
    /// [`ScheduleError::Parameter`] for a share out of range.
    fn level_of_share(&self, share: f64) -> Result<Level, ScheduleError>;

    /// A boxed copy of the path.
    fn boxed(&self) -> Box<dyn NoisePath>;

    /// The noisiest level, which sampling starts from.
    ///
    /// # Errors
    /// As [`NoisePath::level_at`].
    fn noisiest(&self) -> Result<Level, ScheduleError> {
        self.level_at((self.steps() - 1) as f64)
    }
}

impl NoisePath for Schedule {
    fn steps(&self) -> usize {
        self.steps()
    }

    fn is_discrete(&self) -> bool {
        true
    }

    fn level_at(&self, t: f64) -> Result<Level, ScheduleError> {
        self.level_at(t)
    }

    fn level_of_ratio(&self, ratio: f64) -> Result<Level, ScheduleError> {
        self.level_of_ratio(ratio)
    }

    fn level_of_share(&self, share: f64) -> Result<Level, ScheduleError> {
        let t = (check_share(share)? * self.steps() as f64).floor();
        self.level_at(t.min((self.steps() - 1) as f64))
    }

    fn boxed(&self) -> Box<dyn NoisePath> {
        Box::new(self.clone())
    }
}

impl Schedule {
    /// The chain with a path's noise-to-signal ratio at each whole t. It shows any path in the terms of the paper, as
    /// betas.
    ///
    /// # Errors
    /// Those of [`Schedule::from_betas`].
    pub fn of_path(path: &dyn NoisePath) -> Result<Self, ScheduleError> {
        let mut signal_before = 1.0;
        let betas = (0..path.steps()).map(|t| {
            let signal = path.level_at(t as f64)?.signal();
            let beta = 1.0 - signal / signal_before;
            signal_before = signal;
            Ok(beta)
        });
        Self::from_betas(betas.collect::<Result<_, ScheduleError>>()?)
    }
}

pub(crate) fn check_share(share: f64) -> Result<f64, ScheduleError> {
    if share > 0.0 && share < 1.0 {
        Ok(share)
    } else {
        Err(ScheduleError::Parameter { name: "the share of the path", expected: "(0, 1)", got: share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_as_a_chain() {
        let again = Schedule::of_path(&Schedule::ddpm()).unwrap();
        for (a, b) in again.betas().iter().zip(Schedule::ddpm().betas()) {
            assert!((a - b).abs() < 1e-12);
        }
        for name in crate::Continuous::NAMES {
            let path = crate::ContinuousPath::new(name.parse().unwrap(), 1000).unwrap();
            let chain = Schedule::of_path(&path).unwrap();
            for t in [0.0, 500.0, 998.0] {
                let (a, b) = (chain.level_at(t).unwrap().ratio(), path.level_at(t).unwrap().ratio());
                assert!((a / b - 1.0).abs() < 1e-6, "{name}, t = {t}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_chain_is_a_path_of_whole_steps() {
        let chain: &dyn NoisePath = &Schedule::ddpm();
        assert_eq!((chain.steps(), chain.noisiest().unwrap().t), (1000, 999.0));
        for (share, t) in [(1e-9, 0.0), (0.0015, 1.0), (0.5, 500.0), (1.0 - 1e-12, 999.0)] {
            assert_eq!(chain.level_of_share(share).unwrap(), chain.level_at(t).unwrap());
        }
        for got in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(chain.level_of_share(got), Err(ScheduleError::Parameter { .. })), "{got}");
        }
    }
}
