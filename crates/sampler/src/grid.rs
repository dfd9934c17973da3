//! The noise levels a solver passes through, from noise to data.

use schedule::{Level, NoisePath, ScheduleError};

use crate::error::SamplerError;

/// The `sigma / alpha` above which `x_t` counts as noise: at most 1% of its variance is signal.
const NOISE: f64 = 10.0;
/// The factor by which a step out of noise may lower `sigma / alpha` before it counts as a leap. Among the usual
/// schedules the factor is 7 for five trailing steps of the linear one, and up to 8 for cosine ones without their
/// last step. With the last step, whose beta is limited to 0.999, it is 30, and 10000 in chains of few steps.
const LEAP: f64 = 16.0;

/// The levels of a chain of steps. `level(0)` is where it starts, each step goes from `level(i)` to `level(i + 1)`,
/// and `level(steps)` is its end, where the network is not called.
///
/// ```
/// use sampler::Grid;
/// use schedule::{Level, Schedule};
/// let grid = Grid::at_times(&Schedule::ddpm(), &[999.0, 499.0, 99.0], Level::DATA)?;
/// assert_eq!(grid.steps(), 3);
/// assert_eq!(grid.level(1).t, 499.0);
/// # Ok::<(), sampler::SamplerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// One level more than steps.
    levels: Vec<Level>,
}

impl Grid {
    /// Makes a grid of any levels, the noisiest first, and an end: [`Level::DATA`] or a level with a little noise.
    ///
    /// # Errors
    /// [`SamplerError::Grid`] for an empty list, for levels that are not numbers, and where the noise-to-signal ratio
    /// does not fall. Only the end may repeat the level before it; such a step changes nothing.
    pub fn new(mut levels: Vec<Level>, end: Level) -> Result<Self, SamplerError> {
        let count = levels.len();
        levels.push(end);
        let bad = |position: usize, reason: &'static str| Err(SamplerError::Grid { position, reason });
        if count == 0 {
            return bad(0, "there is no level to start from");
        }
        for (i, level) in levels.iter().enumerate() {
            let is_level =
                (0.0..=1.0).contains(&level.alpha) && level.sigma >= 0.0 && level.sigma.is_finite();
            if !(level.t.is_finite() && is_level && level.ratio() >= 0.0) {
                return bad(i, "t, alpha and sigma must be numbers, alpha in [0, 1], sigma 0 or more");
            }
            if i < count && level.is_data() {
                return bad(i, "a step must start with some noise");
            }
        }
        for (i, pair) in levels.windows(2).enumerate() {
            let falls = pair[0].ratio() > pair[1].ratio();
            let stands = i + 1 == count && pair[0].ratio() == pair[1].ratio();
            if !(falls || stands) {
                return bad(i + 1, "the noise must fall from level to level");
            }
        }
        Ok(Self { levels })
    }

    /// The levels of a path at falling times in `0..=T-1`, whole or not.
    ///
    /// # Errors
    /// As [`Grid::new`]; [`SamplerError::Schedule`] for times out of range.
    pub fn at_times(path: &dyn NoisePath, times: &[f64], end: Level) -> Result<Self, SamplerError> {
        let levels = times.iter().map(|&t| path.level_at(t)).collect::<Result<_, ScheduleError>>()?;
        Self::new(levels, end)
    }

    /// Steps of the chain, at least 1.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    /// Level i of `0..=steps`; the last is the end.
    ///
    /// # Panics
    /// Beyond the end.
    #[must_use]
    pub fn level(&self, i: usize) -> Level {
        self.levels[i]
    }

    /// Whether step i leaps out of noise: it starts where almost no signal is left and ends where there is much more.
    ///
    /// A method that averages slopes from both ends in `sigma / alpha` fails there. The step is as long as its start
    /// is high, so a small difference of the slopes, from the network or the image, is multiplied by the quotient of
    /// the two ends: by 1300 from a ratio of 20000 to one of 15, and the pixels saturate. The slope at the start
    /// alone points at the predicted image, whatever the length. A cosine schedule ends with such a step, zero
    /// terminal SNR with an infinite one, and a chain of one or two steps may leap to the data itself.
    pub(crate) fn leaps(&self, i: usize) -> bool {
        let (from, to) = (self.levels[i].ratio(), self.levels[i + 1].ratio());
        from > NOISE && from > LEAP * to
    }

    /// The same levels in rising order: from the end, which must have some noise, to the start.
    pub(crate) fn rising(&self) -> Result<Self, SamplerError> {
        let mut levels: Vec<Level> = self.levels.iter().rev().copied().collect();
        // The end may repeat the level before it.
        levels.dedup_by(|next, kept| next.ratio() == kept.ratio());
        let reason = match levels.first() {
            Some(first) if first.is_data() => "encoding must start from a level with some noise",
            _ if levels.len() < 2 => "there is only one level",
            _ => return Ok(Self { levels }),
        };
        Err(SamplerError::Grid { position: self.steps(), reason })
    }

    /// `h = lambda(i + 1) - lambda(i)`, the length of step i in half log signal-to-noise; infinite when it starts
    /// without signal or ends without noise.
    pub(crate) fn h(&self, i: usize) -> f64 {
        self.levels[i + 1].lambda() - self.levels[i].lambda()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    fn at(times: &[f64], end: Level) -> Result<Grid, SamplerError> {
        Grid::at_times(&Schedule::ddpm(), times, end)
    }

    #[test]
    fn steps_have_lengths() {
        let grid = at(&[999.0, 500.5, 0.0], Level::DATA).unwrap();
        assert_eq!(grid.steps(), 3);
        assert!(grid.h(0) > 0.0 && grid.h(1) > 0.0);
        assert_eq!(grid.h(2), f64::INFINITY);
    }

    #[test]
    fn leaps_are_found_where_a_chain_leaves_the_noise() {
        let cosine = schedule::BetaSchedule::from_name("cosine").unwrap();
        let cosine = Schedule::new(&cosine, 1000).unwrap();
        let grid = |schedule: &Schedule, times: &[f64], end| Grid::at_times(schedule, times, end).unwrap();
        let leaps = |grid: &Grid| (0..grid.steps()).map(|i| grid.leaps(i)).collect::<Vec<_>>();
        let falling = [999.0, 959.0, 919.0, 500.0, 100.0];
        assert_eq!(leaps(&grid(&cosine, &falling, Level::DATA)), [true, false, false, false, false]);
        let zero_snr = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        let few = [999.0, 799.0, 599.0, 399.0, 199.0];
        assert_eq!(leaps(&grid(&zero_snr, &few, Level::DATA)), [true, false, false, false, false]);
        let first = Schedule::ddpm().level_at(0.0).unwrap();
        assert_eq!(leaps(&grid(&Schedule::ddpm(), &few, first)), [false; 5]);
        assert_eq!(leaps(&grid(&cosine, &[999.0], Level::DATA)), [true]);
        // Nothing is multiplied in rising order.
        let up = grid(&cosine, &falling, cosine.level_at(0.0).unwrap()).rising().unwrap();
        assert_eq!(leaps(&up), [false; 5]);
    }

    #[test]
    fn rising_levels_are_the_falling_ones_reversed() {
        let first = Schedule::ddpm().level_at(0.0).unwrap();
        for times in [&[999.0, 500.5, 20.0][..], &[999.0, 500.5, 20.0, 0.0]] {
            let up = at(times, first).unwrap().rising().unwrap();
            let levels: Vec<f64> = (0..=up.steps()).map(|i| up.level(i).t).collect();
            assert_eq!(levels, [0.0, 20.0, 500.5, 999.0]);
        }
        assert!(matches!(at(&[5.0], Level::DATA).unwrap().rising(), Err(SamplerError::Grid { .. })));
        assert!(matches!(at(&[0.0], first).unwrap().rising(), Err(SamplerError::Grid { .. })));
    }

    #[test]
    fn levels_that_do_not_lead_to_data_are_refused() {
        let first = Schedule::ddpm().level_at(0.0).unwrap();
        let wrong = |result: Result<Grid, SamplerError>, at: usize| match result {
            Err(SamplerError::Grid { position, .. }) => assert_eq!(position, at),
            other => panic!("{other:?}"),
        };
        wrong(at(&[], Level::DATA), 0);
        wrong(at(&[5.0, 5.0], Level::DATA), 1);
        wrong(at(&[5.0, 6.0], Level::DATA), 1);
        wrong(Grid::new(vec![Level::DATA], Level::DATA), 0);
        wrong(Grid::new(vec![Level { t: f64::NAN, ..first }], Level::DATA), 0);
        wrong(Grid::new(vec![Level { alpha: 2.0, ..first }], Level::DATA), 0);
        wrong(Grid::new(vec![first], Level { sigma: f64::NAN, ..first }), 1);
        assert!(matches!(at(&[1000.0], Level::DATA), Err(SamplerError::Schedule(_))));
        // The end may repeat the last level.
        at(&[5.0, 0.0], first).unwrap();
    }
}
