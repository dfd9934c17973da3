//! The posterior of the forward process and the conversion between `x_0` and `eps` (Ho et al. 2020, Eq. 6, 7, 15).

use ndarray::{Array1, ArrayD};

use crate::batch::{Element, combine};
use crate::{Schedule, ScheduleError};

impl Schedule {
    /// Mean `[b, ...]` and variance `[b]` of `q(x_{t-1} | x_t, x_0)` (Eq. 6 and 7).
    ///
    /// `x_0` and `x_t` are `[b, ...]`; `t` holds one time in `0..T` for each element. At t = 0 the mean is
    /// `x_0` and the variance 0. The logarithm of the variance is
    /// [`Schedule::posterior_log_variance_clipped`].
    ///
    /// # Errors
    /// As [`Schedule::q_sample`].
    pub fn q_posterior_mean_variance<A: Element>(
        &self,
        x_0: &ArrayD<A>,
        x_t: &ArrayD<A>,
        t: &[usize],
    ) -> Result<(ArrayD<A>, Array1<f64>), ScheduleError> {
        let mean = combine(x_0, ("x_t", x_t), t, self.steps(), |t| {
            (self.posterior_mean_x_0()[t], self.posterior_mean_x_t()[t])
        })?;
        let variance = t.iter().map(|&t| self.posterior_variance()[t]).collect();
        Ok((mean, variance))
    }

    /// The `x_0` that `x_t` and the noise in it imply (Eq. 15):
    /// `(x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t)`. Not clipped to the data's range.
    ///
    /// `x_t` and `eps` are `[b, ...]`; `t` holds one time in `0..T` for each element.
    ///
    /// # Errors
    /// As [`Schedule::q_sample`]; [`ScheduleError::NoSignal`] for the last t of a chain with zero terminal SNR.
    pub fn predict_x_0_from_eps<A: Element>(
        &self,
        x_t: &ArrayD<A>,
        t: &[usize],
        eps: &ArrayD<A>,
    ) -> Result<ArrayD<A>, ScheduleError> {
        if let Some(&t) = t.iter().find(|&&t| self.alpha_bars().get(t) == Some(&0.0)) {
            return Err(ScheduleError::NoSignal { t: t as f64 });
        }
        combine(x_t, ("eps", eps), t, self.steps(), |t| {
            let signal = self.sqrt_alpha_bars()[t];
            (1.0 / signal, -self.sqrt_one_minus_alpha_bars()[t] / signal)
        })
    }

    /// The noise in `x_t` that `x_0` implies, the inverse of [`Schedule::predict_x_0_from_eps`]:
    /// `(x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)`.
    ///
    /// # Errors
    /// As [`Schedule::q_sample`].
    pub fn predict_eps_from_x_0<A: Element>(
        &self,
        x_t: &ArrayD<A>,
        t: &[usize],
        x_0: &ArrayD<A>,
    ) -> Result<ArrayD<A>, ScheduleError> {
        combine(x_t, ("x_0", x_0), t, self.steps(), |t| {
            let noise = self.sqrt_one_minus_alpha_bars()[t];
            (1.0 / noise, -self.sqrt_alpha_bars()[t] / noise)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BetaSchedule;
    use ndarray::{IxDyn, array};
    use proptest::prelude::*;

    fn single(value: f64) -> ArrayD<f64> {
        ArrayD::from_elem(IxDyn(&[1, 1]), value)
    }

    /// The mean of the posterior is linear, so unit vectors give its weights. Gaussian algebra gives them directly:
    /// precisions add, and so do precision-weighted means.
    #[test]
    fn posterior_is_the_product_of_two_gaussians() {
        for name in BetaSchedule::NAMES {
            let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            for t in 1..1000 {
                let (alpha, beta) = (schedule.alphas()[t], schedule.betas()[t]);
                let alpha_bar_prev = schedule.alpha_bars()[t - 1];
                // N(x_{t-1}; sqrt(alpha_bar_prev) x_0, 1 - alpha_bar_prev) N(x_t; sqrt(alpha) x_{t-1}, beta).
                let precision = 1.0 / (1.0 - alpha_bar_prev) + alpha / beta;
                let weight_x_0 = alpha_bar_prev.sqrt() / (1.0 - alpha_bar_prev) / precision;
                let weight_x_t = alpha.sqrt() / beta / precision;

                let q = |x_0, x_t| {
                    let (mean, variance) =
                        schedule.q_posterior_mean_variance(&single(x_0), &single(x_t), &[t]).unwrap();
                    (mean[[0, 0]], variance[0])
                };
                let relative = |got: f64, want: f64| (got / want - 1.0).abs();
                assert!(relative(q(1.0, 0.0).0, weight_x_0) < 1e-10, "{name}, t = {t}");
                assert!(relative(q(0.0, 1.0).0, weight_x_t) < 1e-10, "{name}, t = {t}");
                assert!(relative(q(0.0, 0.0).1, 1.0 / precision) < 1e-10, "{name}, t = {t}");
            }
        }
    }

    #[test]
    fn posterior_at_the_first_step_is_the_data() {
        let (mean, variance) =
            Schedule::ddpm().q_posterior_mean_variance(&single(0.5), &single(-3.0), &[0]).unwrap();
        assert!((mean[[0, 0]] - 0.5).abs() < 1e-11);
        assert_eq!(variance, array![0.0]);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let schedule = Schedule::ddpm();
        let wide = ArrayD::<f64>::zeros(IxDyn(&[1, 2]));
        let shape = |what| ScheduleError::Shape { what, expected: vec![1, 1], got: vec![1, 2] };
        assert_eq!(schedule.q_posterior_mean_variance(&single(0.0), &wide, &[0]), Err(shape("x_t")));
        assert_eq!(schedule.predict_x_0_from_eps(&single(0.0), &[0], &wide), Err(shape("eps")));
        assert_eq!(schedule.predict_eps_from_x_0(&single(0.0), &[0], &wide), Err(shape("x_0")));
        assert_eq!(
            schedule.predict_x_0_from_eps(&single(0.0), &[1000], &single(0.0)),
            Err(ScheduleError::Timestep { steps: 1000, got: 1000 })
        );
    }

    #[test]
    fn x_0_does_not_follow_where_no_signal_is_left() {
        let schedule = Schedule::from_betas(array![0.25, 1.0]).unwrap();
        let got = schedule.predict_x_0_from_eps(&single(1.0), &[1], &single(1.0));
        assert_eq!(got, Err(ScheduleError::NoSignal { t: 1.0 }));
        assert_eq!(schedule.predict_eps_from_x_0(&single(1.5), &[1], &single(1.0)), Ok(single(1.5)));
    }

    proptest! {
        /// x_0 -> x_t -> x_0 and eps -> x_t -> eps round-trip at every t.
        #[test]
        fn predictions_invert_q_sample(x_0 in -1.0_f64..1.0, eps in -4.0_f64..4.0, t in 0_usize..1000) {
            let schedule = Schedule::ddpm();
            let x_t = schedule.q_sample(&single(x_0), &[t], &single(eps)).unwrap();
            let x_0_back = schedule.predict_x_0_from_eps(&x_t, &[t], &single(eps)).unwrap();
            let eps_back = schedule.predict_eps_from_x_0(&x_t, &[t], &single(x_0)).unwrap();
            // Rounding errors of x_t grow by 1 / sqrt(alpha_bar) <= 158 and 1 / sqrt(1 - alpha_bar) <= 100.
            prop_assert!((x_0_back[[0, 0]] - x_0).abs() < 1e-12);
            prop_assert!((eps_back[[0, 0]] - eps).abs() < 1e-12);
        }
    }
}
