//! Which variance the reverse process uses: `p(x_{t-1} | x_t) = N(mu, sigma_t^2 I)` (Ho et al. 2020, Sec. 3.2).

use ndarray::Array1;

use crate::Schedule;
use crate::names::named;

/// The fixed choices of `sigma_t^2`. They are a lower and an upper bound of the true reverse variance for
/// data of unit variance, and were found to give similar samples (Ho et al. 2020, Sec. 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Variance {
    /// `sigma_t^2` is the posterior variance `beta~_t` of Eq. 7: right for data that is one single point.
    FixedSmall,
    /// `sigma_t^2 = beta_t`: right for data from a standard normal distribution.
    FixedLarge,
}

named!(Variance, "variance": "fixed-small" => FixedSmall, "fixed-large" => FixedLarge);

impl Schedule {
    /// Standard deviations `sigma_t` of the reverse process, shape `[T]`: factors for standard normal noise.
    ///
    /// The value at t = 0 is 0 with [`Variance::FixedSmall`] and `sqrt(beta_0)` with [`Variance::FixedLarge`];
    /// Algorithm 2 adds no noise in that last step, whatever the choice.
    ///
    /// ```
    /// use schedule::{Schedule, Variance};
    /// let sigmas = Schedule::ddpm().sigmas(Variance::FixedLarge);
    /// assert!((sigmas[999] - 0.02_f64.sqrt()).abs() < 1e-15);
    /// ```
    #[must_use]
    pub fn sigmas(&self, variance: Variance) -> Array1<f64> {
        match variance {
            Variance::FixedSmall => self.posterior_variance().mapv(f64::sqrt),
            Variance::FixedLarge => self.betas().mapv(f64::sqrt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmas_are_standard_deviations() {
        let schedule = Schedule::ddpm();
        let small = schedule.sigmas(Variance::FixedSmall);
        let large = schedule.sigmas(Variance::FixedLarge);
        assert_eq!(small[0], 0.0);
        assert!((large[0] - 0.01).abs() < 1e-16);
        // The square of the golden posterior variance's root.
        assert!((small[1].powi(2) - 5.4531876613021935e-5).abs() < 1e-16);
        assert!(small.iter().zip(&large).all(|(small, large)| small < large));
    }
}
