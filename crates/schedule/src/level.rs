//! Noise levels: `x_t = alpha x_0 + sigma eps`. Those of a [`Schedule`], whole or between two steps, have
//! `alpha^2 + sigma^2 = 1` (Kingma et al. 2021, "variance preserving"); others need not.

use crate::{Schedule, ScheduleError};

/// How much of the data and how much noise an `x_t` holds, and when.
///
/// Solvers work in one of two variables that follow from it. One is the noise-to-signal ratio `sigma / alpha`, the
/// `sigma` of Karras et al. 2022. The other is half the log signal-to-noise ratio, `lambda = ln(alpha / sigma)`, of
/// Lu et al. 2022.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The time passed to the network. On a chain it is in `0..=T-1`; a fraction lies between two steps.
    pub t: f64,
    /// Weight of the data, in [0, 1]; on a chain `sqrt(alpha_bar_t)`.
    pub alpha: f64,
    /// Weight of the noise, 0 or more; on a chain `sqrt(1 - alpha_bar_t)`.
    pub sigma: f64,
}

impl Level {
    /// The data itself, which has no index in `0..T`: t = -1, no noise.
    pub const DATA: Self = Self { t: -1.0, alpha: 1.0, sigma: 0.0 };

    /// The level of a noise-to-signal ratio with `alpha^2 + sigma^2 = 1`. The caller supplies its time.
    #[must_use]
    pub fn of_ratio(t: f64, ratio: f64) -> Self {
        let alpha = 1.0 / ratio.hypot(1.0);
        Self { t, alpha, sigma: ratio * alpha }
    }

    /// `sigma / alpha`: 0 for data, infinite where no signal is left.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.sigma / self.alpha
    }

    /// `lambda = ln(alpha / sigma)`: infinite for data, minus infinity where no signal is left.
    #[must_use]
    pub fn lambda(&self) -> f64 {
        (self.alpha / self.sigma).ln()
    }

    /// The data's share of the variance of `x_t`, `alpha^2 / (alpha^2 + sigma^2)`, for data of unit variance. On a
    /// chain it is alpha_bar.
    #[must_use]
    pub fn signal(&self) -> f64 {
        let signal = self.alpha.powi(2);
        signal / (signal + self.sigma.powi(2))
    }

    /// Whether the level holds no noise.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.sigma == 0.0
    }
}

impl Schedule {
    /// The level at a time in `0..=T-1`. Between two steps `ln(sigma / alpha)` is interpolated linearly, so a
    /// whole t has the values of the tables, bit for bit.
    ///
    /// # Errors
    /// [`ScheduleError::Time`] for a time out of range or not a number; [`ScheduleError::NoSignal`] between the
    /// last two steps of a chain with zero terminal SNR, where there is nothing to interpolate to.
    ///
    /// ```
    /// let schedule = schedule::Schedule::ddpm();
    /// let between = schedule.level_at(499.5)?;
    /// let (below, above) = (schedule.level_at(499.0)?, schedule.level_at(500.0)?);
    /// assert!((between.lambda() - (below.lambda() + above.lambda()) / 2.0).abs() < 1e-12);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn level_at(&self, t: f64) -> Result<Level, ScheduleError> {
        let last = self.steps() - 1;
        if !(0.0..=last as f64).contains(&t) {
            return Err(ScheduleError::Time { last, got: t });
        }
        let (below, part) = (t as usize, t.fract());
        if part == 0.0 {
            return Ok(self.level(below));
        }
        let (low, high) = (-self.level(below).lambda(), -self.level(below + 1).lambda());
        if !high.is_finite() {
            return Err(ScheduleError::NoSignal { t: (below + 1) as f64 });
        }
        Ok(Level::of_ratio(t, (low + part * (high - low)).exp()))
    }

    /// The level with a given noise-to-signal ratio `sigma / alpha`: the inverse of [`Schedule::level_at`]. A ratio
    /// beyond the chain's ends is kept, with the t of that end.
    ///
    /// # Errors
    /// [`ScheduleError::Parameter`] for a ratio that is not a number above 0.
    pub fn level_of_ratio(&self, ratio: f64) -> Result<Level, ScheduleError> {
        if !(ratio > 0.0 && ratio.is_finite()) {
            return Err(ScheduleError::Parameter { name: "sigma / alpha", expected: "(0, inf)", got: ratio });
        }
        let wanted = ratio.ln();
        // The ratio rises with t. The first step at or above the wanted one:
        let (mut low, mut high) = (0, self.steps());
        while low < high {
            let middle = low.midpoint(high);
            if -self.level(middle).lambda() < wanted { low = middle + 1 } else { high = middle }
        }
        let t = match low {
            0 => 0.0,
            above if above == self.steps() => (above - 1) as f64,
            above => {
                let (a, b) = (-self.level(above - 1).lambda(), -self.level(above).lambda());
                // Nothing lies between a finite ratio and an infinite one.
                let part = if b.is_finite() { (wanted - a) / (b - a) } else { 0.0 };
                (above - 1) as f64 + part
            }
        };
        Ok(Level::of_ratio(t, ratio))
    }

    /// The level at a step of the chain; `t < T`.
    fn level(&self, t: usize) -> Level {
        Level { t: t as f64, alpha: self.sqrt_alpha_bars()[t], sigma: self.sqrt_one_minus_alpha_bars()[t] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_times_have_the_values_of_the_tables() {
        let schedule = Schedule::ddpm();
        let level = schedule.level_at(999.0).unwrap();
        assert_eq!(level.alpha, schedule.sqrt_alpha_bars()[999]);
        assert_eq!(level.sigma, schedule.sqrt_one_minus_alpha_bars()[999]);
        assert!((level.ratio() - 157.407).abs() < 1e-3, "{}", level.ratio());
        assert!((schedule.level_at(0.0).unwrap().ratio() - 0.010_000_5).abs() < 1e-6);
    }

    #[test]
    fn data_has_no_noise() {
        assert!(Level::DATA.is_data());
        assert_eq!((Level::DATA.ratio(), Level::DATA.lambda()), (0.0, f64::INFINITY));
    }

    #[test]
    fn times_out_of_range() {
        let schedule = Schedule::ddpm();
        for got in [-0.1, 999.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(schedule.level_at(got), Err(ScheduleError::Time { last: 999, .. })), "{got}");
        }
        for got in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(schedule.level_of_ratio(got), Err(ScheduleError::Parameter { .. })), "{got}");
        }
    }

    #[test]
    fn without_signal_at_the_end() {
        let schedule = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        assert_eq!(schedule.level_at(999.0).unwrap().lambda(), f64::NEG_INFINITY);
        assert_eq!(schedule.level_at(998.5), Err(ScheduleError::NoSignal { t: 999.0 }));
        assert_eq!(schedule.level_of_ratio(1e9).unwrap().t, 998.0);
    }

    #[test]
    fn ratios_beyond_the_chain_are_kept_at_its_ends() {
        let schedule = Schedule::ddpm();
        for (ratio, t) in [(1e-3, 0.0), (1e3, 999.0)] {
            let level = schedule.level_of_ratio(ratio).unwrap();
            assert_eq!(level.t, t);
            assert!((level.ratio() / ratio - 1.0).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn ratio_and_time_are_inverse(t in 0.0_f64..=999.0) {
            let schedule = Schedule::ddpm();
            let level = schedule.level_at(t).unwrap();
            prop_assert!((level.alpha.powi(2) + level.sigma.powi(2) - 1.0).abs() < 1e-12);
            let back = schedule.level_of_ratio(level.ratio()).unwrap();
            prop_assert!((back.t - t).abs() < 1e-6, "{} is not {t}", back.t);
            prop_assert!((back.alpha - level.alpha).abs() < 1e-12);
        }
    }
}
