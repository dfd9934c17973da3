//! Betas rescaled so that the last step leaves no signal: `alpha_bar_{T-1} = 0` (Lin et al. 2024, "Common
//! Diffusion Noise Schedules and Sample Steps are Flawed", Algorithm 1).

use ndarray::Array1;

use crate::{Schedule, ScheduleError};

/// Shifts and scales `sqrt(alpha_bar)` so that its first value stays and its last becomes 0, and returns the
/// corresponding betas (Lin et al. 2024, Algorithm 1).
///
/// `betas` is `[T]`, as for [`Schedule::from_betas`]; so is the result, whose last value is exactly 1.
/// At that step eps-prediction says nothing about the data: a network must predict x_0 or v there.
///
/// # Errors
/// Those of [`Schedule::from_betas`].
///
/// ```
/// let betas = schedule::beta::linear(1000, 1e-4, 0.02)?;
/// let rescaled = schedule::rescale_to_zero_terminal_snr(betas)?;
/// assert!((rescaled[0] - 1e-4).abs() < 1e-15);
/// assert_eq!(rescaled[999], 1.0);
/// # Ok::<(), schedule::ScheduleError>(())
/// ```
pub fn rescale_to_zero_terminal_snr(betas: Array1<f64>) -> Result<Array1<f64>, ScheduleError> {
    let schedule = Schedule::from_betas(betas)?;
    let roots = schedule.sqrt_alpha_bars();
    let last = roots.len() - 1;

    // Shift the last root to 0, then scale the first back to where it was.
    let scale = roots[0] / (roots[0] - roots[last]);
    let alpha_bars = roots.mapv(|root| ((root - roots[last]) * scale).powi(2));

    Ok(Array1::from_shape_fn(last + 1, |t| {
        if t == 0 {
            // Unchanged by construction; copied to avoid rounding the square.
            schedule.betas()[0]
        } else {
            1.0 - alpha_bars[t] / alpha_bars[t - 1]
        }
    }))
}

impl Schedule {
    /// The chain with [`rescale_to_zero_terminal_snr`] applied to its betas: `alpha_bar` ends at exactly 0.
    ///
    /// # Errors
    /// [`ScheduleError::Steps`] for a respaced chain of a single step; [`ScheduleError::Degenerate`] where f64 cannot
    /// represent the result.
    pub fn with_zero_terminal_snr(&self) -> Result<Self, ScheduleError> {
        Self::from_betas(rescale_to_zero_terminal_snr(self.betas().clone())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BetaSchedule, Spacing, timesteps};

    /// From numpy in float64, with Algorithm 1 written out, for 0.00085..0.012 scaled-linear.
    #[test]
    fn golden() {
        let kind = BetaSchedule::from_name("scaled-linear").unwrap();
        let betas = rescale_to_zero_terminal_snr(kind.betas(1000).unwrap()).unwrap();
        for (t, want) in [(0, 0.00085), (499, 0.0055157787345965215), (998, 0.751137004176492), (999, 1.0)] {
            assert!((betas[t] - want).abs() < 1e-11, "t = {t}: {}", betas[t]);
        }
    }

    /// sqrt(alpha_bar) of the result is an affine map of the original, fixed at both ends.
    #[test]
    fn signal_is_shifted_and_scaled() {
        for name in BetaSchedule::NAMES {
            let before = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            let after = before.with_zero_terminal_snr().unwrap();
            assert_eq!(after.alpha_bars()[0], before.alpha_bars()[0]);
            assert_eq!(after.alpha_bars()[999], 0.0, "{name}");
            assert_eq!(after.snr()[999], 0.0);
            let (a, b) = (before.sqrt_alpha_bars(), after.sqrt_alpha_bars());
            let slope = b[0] / (a[0] - a[999]);
            for t in 0..999 {
                assert!((b[t] - slope * (a[t] - a[999])).abs() < 1e-13, "{name}, t = {t}");
            }
        }
    }

    #[test]
    fn applied_twice_is_applied_once() {
        let once = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        let twice = once.with_zero_terminal_snr().unwrap();
        let largest =
            (once.alpha_bars() - twice.alpha_bars()).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
        assert!(largest < 1e-13, "{largest}");
    }

    #[test]
    fn shorter_chains_keep_the_end() {
        let schedule = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        let short = schedule.respace(&timesteps(Spacing::Trailing, 1000, 10).unwrap()).unwrap().schedule;
        assert_eq!((short.betas()[9], short.alpha_bars()[9]), (1.0, 0.0));
        assert!(short.posterior_variance().iter().all(|variance| variance.is_finite()));
    }

    #[test]
    fn bad_betas_are_refused() {
        let got = rescale_to_zero_terminal_snr(ndarray::array![0.1, 1.0, 0.2]);
        assert_eq!(got, Err(ScheduleError::Beta { t: 1, got: 1.0 }));
        let single = Schedule::ddpm().respace(&[999]).unwrap().schedule;
        assert_eq!(single.with_zero_terminal_snr(), Err(ScheduleError::Steps { got: 1 }));
    }
}
