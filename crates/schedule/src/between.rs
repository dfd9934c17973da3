//! One step of the reverse process between any two noise levels (Ho et al. 2020, Eq. 7).

use crate::Level;

/// The posterior `q(x_to | x_from, x_0) = N(x_0 weight * x_0 + x_t weight * x_from, variance I)` between two levels
/// of any path. It assumes only `x_t = alpha x_0 + sigma eps`. Between neighbouring steps of a chain it equals the
/// tables of [`crate::Schedule`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Weight of `x_0` in the mean.
    pub x_0: f64,
    /// Weight of the noisier `x_from` in the mean.
    pub x_t: f64,
    /// Variance of the noise added on the way from `to` to `from`: with `a = alpha_from / alpha_to`,
    /// `x_from = a x_to + sqrt(beta) z`.
    pub beta: f64,
    /// `beta~`, the variance of the posterior.
    pub variance: f64,
}

impl Posterior {
    /// The step from a level down to a less noisy one. `from` must hold some noise and `to` some signal.
    ///
    /// ```
    /// use schedule::{Posterior, Schedule};
    /// let schedule = Schedule::ddpm();
    /// let step = Posterior::between(&schedule.level_at(500.0)?, &schedule.level_at(499.0)?);
    /// assert!((step.variance / schedule.posterior_variance()[500] - 1.0).abs() < 1e-10);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn between(from: &Level, to: &Level) -> Self {
        let keep = from.alpha / to.alpha;
        let (noise, noise_to) = (from.sigma.powi(2), to.sigma.powi(2));
        // Rounding can make the difference of equal levels slightly negative.
        let beta = (noise - keep * keep * noise_to).max(0.0);
        Self {
            x_0: to.alpha * beta / noise,
            x_t: keep * noise_to / noise,
            beta,
            variance: beta * noise_to / noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BetaSchedule, Schedule};
    use proptest::prelude::*;

    fn level(alpha: f64, sigma: f64) -> Level {
        Level { t: 0.0, alpha, sigma }
    }

    #[test]
    fn neighbours_of_a_chain_have_its_tables() {
        for name in BetaSchedule::NAMES {
            let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            for t in 1..1000 {
                let at = |t: usize| schedule.level_at(t as f64).unwrap();
                let step = Posterior::between(&at(t), &at(t - 1));
                for (got, want) in [
                    (step.x_0, schedule.posterior_mean_x_0()[t]),
                    (step.x_t, schedule.posterior_mean_x_t()[t]),
                    (step.variance, schedule.posterior_variance()[t]),
                    (step.beta, schedule.betas()[t]),
                ] {
                    // beta is a difference of numbers near 1.
                    assert!(
                        (got - want).abs() <= 1e-15 + 1e-9 * want,
                        "{name}, t = {t}: {got} is not {want}"
                    );
                }
            }
        }
    }

    /// Karras et al. 2022: with alpha = 1 the noise between two levels has the difference of their variances.
    #[test]
    fn without_scaling_variances_are_subtracted() {
        let step = Posterior::between(&level(1.0, 5.0), &level(1.0, 3.0));
        assert_eq!((step.beta, step.x_t), (16.0, 9.0 / 25.0));
        assert!((step.variance - 16.0 * 9.0 / 25.0).abs() < 1e-12);
    }

    #[test]
    fn the_data_follow_without_noise() {
        let step = Posterior::between(&level(0.3, 0.9), &Level::DATA);
        assert_eq!((step.x_t, step.variance), (0.0, 0.0));
        assert!((step.x_0 - 1.0).abs() < 1e-15);
        // Without signal the posterior is q(x_to | x_0).
        let step = Posterior::between(&level(0.0, 1.0), &level(0.6, 0.8));
        assert!(step.x_t == 0.0 && (step.x_0 - 0.6).abs() < 1e-15 && (step.variance - 0.64).abs() < 1e-15);
    }

    proptest! {
        /// Eq. 7 on any path: from x_from = alpha x_0 + sigma eps the step leads to the mean and variance of the
        /// target level.
        #[test]
        fn it_leads_to_the_next_level(alpha in 0.05_f64..1.0, sigma in 0.1_f64..80.0, a in 0.01_f64..1.0, s in 0.0_f64..1.0) {
            // Less noise for the same signal.
            let (from, to) = (level(alpha * a, sigma), level(alpha, sigma * s));
            let step = Posterior::between(&from, &to);
            prop_assert!((step.x_0 + step.x_t * from.alpha - to.alpha).abs() < 1e-9);
            let variance = (step.x_t * from.sigma).powi(2) + step.variance;
            prop_assert!((variance - to.sigma.powi(2)).abs() < 1e-9 * (1.0 + to.sigma.powi(2)));
        }
    }
}
