//! Euler's method on the probability flow of Karras et al. 2022 (Eq. 4), with their churn (Algorithm 2, lines 4 to 6).
//!
//! In their variables, `x^ = x / alpha` and `sigma^ = sigma / alpha`, the flow is
//! `dx^ / dsigma^ = (x^ - x_0) / sigma^`. A step of Euler's method keeps `x_0` and eps, so without churn it is
//! DDIM with eta = 0 on the same levels; the two differ in which levels users choose.

use schedule::{Level, NoisePath, ScheduleError};

use crate::grid::Grid;
use crate::stage::{Churn, Stage, Sum, transfer};

/// How much noise is added before each step (Karras et al. 2022, Algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChurnSettings {
    /// `S_churn`, over the whole chain, at least 0: each step of n raises `sigma^` by the factor
    /// `1 + min(S_churn / n, sqrt(2) - 1)`.
    pub amount: f64,
    /// `[S_tmin, S_tmax]`: the range of `sigma^` in which noise is added.
    pub range: (f64, f64),
    /// `S_noise`: standard deviation of the new noise, about 1.
    pub noise: f64,
}

impl ChurnSettings {
    /// No churn: the deterministic solver.
    pub const NONE: Self = Self { amount: 0.0, range: (0.0, f64::INFINITY), noise: 1.0 };

    /// The level after churning at level i, and the noise that leads to it.
    ///
    /// The network is called at the raised level, as in the paper. A level is not raised above the chain's noisiest
    /// one, because the network was not trained beyond it.
    pub(crate) fn at(
        &self,
        grid: &Grid,
        i: usize,
        path: &dyn NoisePath,
    ) -> Result<(Level, Option<Churn>), ScheduleError> {
        let from = grid.level(i);
        let ratio = from.ratio();
        let gamma = (self.amount / grid.steps() as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let highest = path.noisiest()?.ratio();
        let raised = (ratio * (1.0 + gamma)).min(highest);
        let within = self.range.0 <= ratio && ratio <= self.range.1;
        // A level that is not raised is unchanged, bit for bit.
        if !(within && raised > ratio) {
            return Ok((from, None));
        }
        let level = path.level_of_ratio(raised)?;
        let noise = level.alpha * (raised.powi(2) - ratio.powi(2)).sqrt() * self.noise;
        Ok((level, Some(Churn { keep: level.alpha / from.alpha, noise })))
    }
}

/// The steps of Euler's method on a grid.
///
/// # Errors
/// Those of [`NoisePath::level_of_ratio`] for a grid that is not the path's.
pub fn euler(grid: &Grid, path: &dyn NoisePath, churn: &ChurnSettings) -> Result<Vec<Stage>, ScheduleError> {
    (0..grid.steps())
        .map(|i| {
            let (at, churn) = churn.at(grid, i, path)?;
            let (x, x_0) = transfer(at, grid.level(i + 1));
            Ok(Stage { churn, ..Stage::new(at, Sum::of_x(x, &[x_0])) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    #[test]
    fn churn_keeps_the_variance_and_raises_the_networks_level() {
        let schedule = Schedule::ddpm();
        let grid = Grid::at_times(&schedule, &[900.0, 500.0, 100.0], Level::DATA).unwrap();
        let churn = ChurnSettings { amount: 0.6, ..ChurnSettings::NONE };
        let stages = euler(&grid, &schedule, &churn).unwrap();
        for (i, stage) in stages.iter().enumerate() {
            let (before, Churn { keep, noise }) = (grid.level(i), stage.churn.unwrap());
            assert!((stage.at.ratio() / before.ratio() - 1.2).abs() < 1e-12);
            assert!(stage.at.t > before.t && stage.at.t < 999.0);
            // x = alpha x_0 + sigma eps before and after.
            assert!((keep * before.alpha - stage.at.alpha).abs() < 1e-12);
            assert!(((keep * before.sigma).hypot(noise) - stage.at.sigma).abs() < 1e-12);
        }
    }

    #[test]
    fn churn_has_limits() {
        let schedule = Schedule::ddpm();
        let grid = Grid::at_times(&schedule, &[999.0, 500.0, 100.0], Level::DATA).unwrap();
        let ratio = |i: usize| grid.level(i).ratio();
        let all = ChurnSettings { amount: 1e9, ..ChurnSettings::NONE };
        let stages = euler(&grid, &schedule, &all).unwrap();
        assert_eq!(stages[0].churn, None, "the noisiest level is not raised");
        assert!((stages[1].at.ratio() / ratio(1) - std::f64::consts::SQRT_2).abs() < 1e-12);
        let middle = ChurnSettings { range: (ratio(1) - 0.1, ratio(1) + 0.1), ..all };
        let churned: Vec<bool> =
            euler(&grid, &schedule, &middle).unwrap().iter().map(|stage| stage.churn.is_some()).collect();
        assert_eq!(churned, [false, true, false]);
    }
}
