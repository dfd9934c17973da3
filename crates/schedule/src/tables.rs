//! Everything that follows from the betas, one value a step: `alpha_bar_t = prod_{s <= t} (1 - beta_s)` and
//! the coefficients of the posterior `q(x_{t-1} | x_t, x_0)` (Ho et al. 2020, Eq. 4, 6 and 7).

use ndarray::{Array1, Zip};

use crate::{BetaSchedule, ScheduleError, beta};

/// The tables of one chain of `T` steps, each of shape `[T]`, f64, read-only. Index t = 0 is the paper's 1.
///
/// ```
/// let schedule = schedule::Schedule::ddpm();
/// assert_eq!(schedule.steps(), 1000);
/// assert_eq!(schedule.alpha_bars_prev()[0], 1.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    betas: Array1<f64>,
    alphas: Array1<f64>,
    alpha_bars: Array1<f64>,
    alpha_bars_prev: Array1<f64>,
    sqrt_alpha_bars: Array1<f64>,
    sqrt_one_minus_alpha_bars: Array1<f64>,
    posterior_variance: Array1<f64>,
    posterior_log_variance_clipped: Array1<f64>,
    posterior_mean_x_0: Array1<f64>,
    posterior_mean_x_t: Array1<f64>,
}

impl Schedule {
    /// Makes the chain of `steps` steps with betas of this kind.
    ///
    /// # Errors
    /// Those of [`BetaSchedule::betas`] and of [`Schedule::from_betas`].
    pub fn new(kind: &BetaSchedule, steps: usize) -> Result<Self, ScheduleError> {
        Self::from_betas(kind.betas(steps)?)
    }

    /// The chain of Ho et al. 2020 (Sec. 4): T = 1000, beta linear from 1e-4 to 0.02.
    #[must_use]
    pub fn ddpm() -> Self {
        let kind = BetaSchedule::Linear { beta_start: 1e-4, beta_end: 0.02 };
        match Self::new(&kind, 1000) {
            Ok(schedule) => schedule,
            Err(error) => unreachable!("constant parameters within their range: {error}"),
        }
    }

    /// Makes the chain of given betas, shape `[T]`, each in (0, 1).
    ///
    /// Only the last may be 1. Such a chain ends without any signal, `alpha_bar_{T-1} = 0`, as after
    /// [`Schedule::with_zero_terminal_snr`].
    ///
    /// # Errors
    /// [`ScheduleError::Steps`] for a length out of range; [`ScheduleError::Beta`] for a beta out of range;
    /// [`ScheduleError::Degenerate`] when f64 cannot distinguish alpha_bar from its predecessor or from 0.
    pub fn from_betas(betas: Array1<f64>) -> Result<Self, ScheduleError> {
        beta::check_steps(betas.len())?;
        let last = betas.len() - 1;
        for (t, &got) in betas.iter().enumerate() {
            let terminal = t == last && got == 1.0;
            if !(got > 0.0 && got < 1.0 || terminal) {
                return Err(ScheduleError::Beta { t, got });
            }
        }
        let alphas = betas.mapv(|beta| 1.0 - beta);
        let mut alpha_bar = 1.0;
        let alpha_bars = alphas.mapv(|alpha| {
            alpha_bar *= alpha;
            alpha_bar
        });
        Self::assemble(betas, alphas, alpha_bars)
    }

    /// Computes the remaining tables from three consistent ones of the same length, at least 1.
    pub(crate) fn assemble(
        betas: Array1<f64>,
        alphas: Array1<f64>,
        alpha_bars: Array1<f64>,
    ) -> Result<Self, ScheduleError> {
        let last = alpha_bars.len() - 1;
        let mut previous = 1.0;
        for (t, &alpha_bar) in alpha_bars.iter().enumerate() {
            let terminal = t == last && betas[t] == 1.0;
            if !(alpha_bar < previous && (alpha_bar > 0.0 || terminal)) {
                return Err(ScheduleError::Degenerate { t, previous, alpha_bar });
            }
            previous = alpha_bar;
        }

        let alpha_bars_prev =
            Array1::from_shape_fn(last + 1, |t| if t == 0 { 1.0 } else { alpha_bars[t - 1] });
        // Eq. 7: the variance, and the weights of x_0 and of x_t in the mean.
        let posterior_variance = Zip::from(&betas)
            .and(&alpha_bars_prev)
            .and(&alpha_bars)
            .map_collect(|beta, prev, alpha_bar| beta * (1.0 - prev) / (1.0 - alpha_bar));
        let posterior_mean_x_0 = Zip::from(&betas)
            .and(&alpha_bars_prev)
            .and(&alpha_bars)
            .map_collect(|beta, prev, alpha_bar| beta * prev.sqrt() / (1.0 - alpha_bar));
        let posterior_mean_x_t = Zip::from(&alphas)
            .and(&alpha_bars_prev)
            .and(&alpha_bars)
            .map_collect(|alpha, prev, alpha_bar| (1.0 - prev) * alpha.sqrt() / (1.0 - alpha_bar));
        // The first posterior variance is 0 and has no logarithm. A chain of one step has no second entry
        // either; beta is the upper bound then.
        let first = posterior_variance.get(1).copied().unwrap_or(betas[0]);
        let posterior_log_variance_clipped =
            Array1::from_shape_fn(last + 1, |t| if t == 0 { first.ln() } else { posterior_variance[t].ln() });

        Ok(Self {
            sqrt_alpha_bars: alpha_bars.mapv(f64::sqrt),
            sqrt_one_minus_alpha_bars: alpha_bars.mapv(|alpha_bar| (1.0 - alpha_bar).sqrt()),
            betas,
            alphas,
            alpha_bars,
            alpha_bars_prev,
            posterior_variance,
            posterior_log_variance_clipped,
            posterior_mean_x_0,
            posterior_mean_x_t,
        })
    }

    /// The number of steps `T`; t is in `0..T`.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// `beta_t`, the variance of the noise that step t adds, in (0, 1); 1 only at the end of a chain with
    /// zero terminal SNR.
    #[must_use]
    pub fn betas(&self) -> &Array1<f64> {
        &self.betas
    }

    /// `alpha_t = 1 - beta_t`.
    #[must_use]
    pub fn alphas(&self) -> &Array1<f64> {
        &self.alphas
    }

    /// `alpha_bar_t`, the part of the data's variance left in `x_t` (Eq. 4): in (0, 1), strictly falling; 0
    /// only at the end of a chain with zero terminal SNR.
    #[must_use]
    pub fn alpha_bars(&self) -> &Array1<f64> {
        &self.alpha_bars
    }

    /// `alpha_bar_{t-1}`, which is 1 at t = 0: the data before any noise.
    #[must_use]
    pub fn alpha_bars_prev(&self) -> &Array1<f64> {
        &self.alpha_bars_prev
    }

    /// `sqrt(alpha_bar_t)`, what `x_0` is multiplied by in `x_t`.
    #[must_use]
    pub fn sqrt_alpha_bars(&self) -> &Array1<f64> {
        &self.sqrt_alpha_bars
    }

    /// `sqrt(1 - alpha_bar_t)`, the standard deviation of the noise in `x_t`.
    #[must_use]
    pub fn sqrt_one_minus_alpha_bars(&self) -> &Array1<f64> {
        &self.sqrt_one_minus_alpha_bars
    }

    /// `beta~_t`, the variance of `q(x_{t-1} | x_t, x_0)` (Eq. 7); 0 at t = 0.
    #[must_use]
    pub fn posterior_variance(&self) -> &Array1<f64> {
        &self.posterior_variance
    }

    /// `ln(beta~_t)`, with the value of t = 1 at t = 0, where the variance itself is 0.
    #[must_use]
    pub fn posterior_log_variance_clipped(&self) -> &Array1<f64> {
        &self.posterior_log_variance_clipped
    }

    /// `sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t)`, the weight of `x_0` in the posterior mean (Eq. 7).
    #[must_use]
    pub fn posterior_mean_x_0(&self) -> &Array1<f64> {
        &self.posterior_mean_x_0
    }

    /// `sqrt(alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)`, the weight of `x_t` in the posterior mean
    /// (Eq. 7).
    #[must_use]
    pub fn posterior_mean_x_t(&self) -> &Array1<f64> {
        &self.posterior_mean_x_t
    }

    /// `alpha_bar_{T-1}`, the part of the data's variance left at the noisy end, in [0, 1).
    #[must_use]
    pub fn terminal_signal(&self) -> f64 {
        self.alpha_bars()[self.steps() - 1]
    }

    /// Whether the chain ends in noise, with at most [`MAX_TERMINAL_SIGNAL`](crate::MAX_TERMINAL_SIGNAL) of the
    /// data's variance left. Sampling starts from pure noise. Where more is left, the network has not seen such a
    /// start in training, and the samples have the wrong brightness (Lin et al. 2024, Sec. 3.1).
    #[must_use]
    pub fn ends_in_noise(&self) -> bool {
        self.terminal_signal() <= crate::MAX_TERMINAL_SIGNAL
    }

    /// Signal-to-noise ratio `alpha_bar_t / (1 - alpha_bar_t)` (Kingma et al. 2021), strictly falling.
    #[must_use]
    pub fn snr(&self) -> Array1<f64> {
        self.alpha_bars.mapv(|alpha_bar| alpha_bar / (1.0 - alpha_bar))
    }

    /// `ln(SNR)`; minus infinity at the end of a chain with zero terminal SNR.
    #[must_use]
    pub fn log_snr(&self) -> Array1<f64> {
        self.snr().mapv(f64::ln)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want}");
    }

    /// From numpy in float64, with the formulas of the paper written out.
    #[test]
    fn goldens_of_the_papers_chain() {
        let schedule = Schedule::ddpm();
        close(schedule.alpha_bars()[999], 4.0358e-5, 1e-5);
        close(schedule.alpha_bars()[999], 4.035829765375676e-5, 1e-12);
        close(schedule.alpha_bars()[499], 0.07858724288177824, 1e-12);
        close(schedule.snr()[999], 4.0359926511684205e-5, 1e-12);
        close(schedule.posterior_variance()[1], 5.4531876613021935e-5, 1e-11);
        close(schedule.posterior_variance()[500], 0.010051335778909593, 1e-12);
        close(schedule.posterior_variance()[999], 0.01999998352656061, 1e-12);
        close(schedule.posterior_mean_x_0()[500], 0.003058057075629619, 1e-12);
        close(schedule.posterior_mean_x_t()[500], 0.9941043507567258, 1e-12);
    }

    /// Two steps by hand: alpha = (3/4, 1/2), so alpha_bar = (3/4, 3/8).
    #[test]
    fn two_steps_by_hand() {
        let schedule = Schedule::from_betas(array![0.25, 0.5]).unwrap();
        assert_eq!(schedule.alphas(), array![0.75, 0.5]);
        assert_eq!(schedule.alpha_bars(), array![0.75, 0.375]);
        assert_eq!(schedule.alpha_bars_prev(), array![1.0, 0.75]);
        assert_eq!(schedule.posterior_variance(), array![0.0, 0.2]);
        assert_eq!(schedule.posterior_mean_x_0()[0], 1.0);
        assert_eq!(schedule.posterior_mean_x_t()[0], 0.0);
        close(schedule.posterior_mean_x_0()[1], 0.8 * 0.75_f64.sqrt(), 1e-15);
        close(schedule.posterior_mean_x_t()[1], 0.4 * 0.5_f64.sqrt(), 1e-15);
        let log = 0.2_f64.ln();
        assert_eq!(schedule.posterior_log_variance_clipped(), array![log, log]);
        close(schedule.log_snr()[0], 3.0_f64.ln(), 1e-15);
    }

    #[test]
    fn bad_betas_are_refused_with_their_place() {
        for bad in [0.0, -0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
            let got = Schedule::from_betas(array![0.1, bad, 0.2]);
            assert!(matches!(got, Err(ScheduleError::Beta { t: 1, .. })), "{bad}: {got:?}");
        }
        assert!(matches!(Schedule::from_betas(array![0.1, 1.5]), Err(ScheduleError::Beta { t: 1, .. })));
        assert_eq!(Schedule::from_betas(array![0.1]), Err(ScheduleError::Steps { got: 1 }));
        assert_eq!(Schedule::from_betas(array![]), Err(ScheduleError::Steps { got: 0 }));
    }

    /// f64 cannot represent these chains: 0.1^1000 underflows, and 1 - 1e-17 is 1.
    #[test]
    fn chains_beyond_f64_are_refused() {
        let strong = Schedule::new(&BetaSchedule::Constant { beta: 0.9 }, 1000);
        assert!(
            matches!(strong, Err(ScheduleError::Degenerate { t: 323, alpha_bar: 0.0, .. })),
            "{strong:?}"
        );
        let weak = Schedule::new(&BetaSchedule::Constant { beta: 1e-17 }, 1000);
        assert_eq!(weak, Err(ScheduleError::Degenerate { t: 0, previous: 1.0, alpha_bar: 1.0 }));
    }

    #[test]
    fn last_beta_may_be_one() {
        let schedule = Schedule::from_betas(array![0.25, 1.0]).unwrap();
        assert_eq!(schedule.alpha_bars(), array![0.75, 0.0]);
        assert_eq!(schedule.log_snr()[1], f64::NEG_INFINITY);
        // x_t is pure noise there, so the posterior is q(x_{t-1} | x_0).
        assert_eq!(schedule.posterior_variance()[1], 0.25);
        assert_eq!(schedule.posterior_mean_x_t()[1], 0.0);
        assert_eq!(schedule.posterior_mean_x_0()[1], 0.75_f64.sqrt());
    }
}
