//! Denoising diffusion implicit models (Song et al. 2021, Eq. 12 and 16):
//! `x_{t-1} = sqrt(alpha_bar_{t-1}) x_0 + sqrt(1 - alpha_bar_{t-1} - sigma_t^2) eps + sigma_t z`. Their alpha is
//! the alpha_bar of Ho et al. 2020.

use schedule::Schedule;

use crate::update::Update;

/// The weights of every step of a chain, whole or respaced, at index t in `0..T`; `eta` in [0, 1].
///
/// `sigma_t^2 = eta^2 beta~_t`, the posterior variance of that chain: eta = 1 is DDPM with
/// [`schedule::Variance::FixedSmall`], eta = 0 adds no noise at all.
///
/// eps is the noise that `x_t` holds beside the predicted `x_0`,
/// `(x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)`. Where `x_0` was clipped that is not what the network
/// said, but it keeps the pair consistent, and eta = 1 equal to DDPM.
///
/// ```
/// let chain = schedule::Schedule::ddpm();
/// assert!(sampler::ddim_updates(&chain, 0.0).iter().all(|update| update.sigma == 0.0));
/// ```
#[must_use]
pub fn ddim_updates(chain: &Schedule, eta: f64) -> Vec<Update> {
    (0..chain.steps())
        .map(|t| {
            let alpha_bar_prev = chain.alpha_bars_prev()[t];
            let variance = eta * eta * chain.posterior_variance()[t];
            // Rounding may take the difference just below 0.
            let direction = (1.0 - alpha_bar_prev - variance).max(0.0).sqrt();
            let x_t = direction / chain.sqrt_one_minus_alpha_bars()[t];
            Update {
                x_0: alpha_bar_prev.sqrt() - x_t * chain.sqrt_alpha_bars()[t],
                x_t,
                sigma: variance.sqrt(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddpm::ddpm_updates;
    use proptest::prelude::*;
    use schedule::{BetaSchedule, Spacing, Variance, timesteps};

    fn chains() -> impl Iterator<Item = Schedule> {
        BetaSchedule::NAMES.iter().flat_map(|name| {
            let whole = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            let short = whole.respace(&timesteps(Spacing::Trailing, 1000, 50).unwrap()).unwrap();
            [whole, short.schedule]
        })
    }

    #[test]
    fn eta_1_is_ddpm_with_the_posterior_variance() {
        for chain in chains() {
            let ddpm = ddpm_updates(&chain, Variance::FixedSmall);
            for (t, (a, b)) in ddim_updates(&chain, 1.0).iter().zip(&ddpm).enumerate() {
                for (a, b) in [(a.x_0, b.x_0), (a.x_t, b.x_t), (a.sigma, b.sigma)] {
                    assert!((a - b).abs() < 1e-9, "t = {t}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn the_last_step_is_the_predicted_image() {
        for eta in [0.0, 0.5, 1.0] {
            for chain in chains() {
                assert_eq!(ddim_updates(&chain, eta)[0], Update { x_0: 1.0, x_t: 0.0, sigma: 0.0 });
            }
        }
    }

    /// A chain whose last step holds no signal.
    #[test]
    fn zero_terminal_snr() {
        let chain = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        for update in [ddim_updates(&chain, 0.0)[999], ddpm_updates(&chain, Variance::FixedSmall)[999]] {
            assert!((update.x_0 - chain.sqrt_alpha_bars()[998]).abs() < 1e-12);
            assert!(update.x_t.is_finite() && update.sigma.is_finite());
        }
    }

    proptest! {
        /// From x_t ~ q(x_t | x_0) every eta leads to x_{t-1} ~ q(x_{t-1} | x_0) (Song et al. 2021, Lemma 1).
        #[test]
        fn marginals_are_kept(eta in 0.0_f64..=1.0, t in 0_usize..1000) {
            let chain = Schedule::ddpm();
            let update = ddim_updates(&chain, eta)[t];
            let (alpha_bar, prev) = (chain.alpha_bars()[t], chain.alpha_bars_prev()[t]);
            let mean = update.x_0 + update.x_t * alpha_bar.sqrt();
            let variance = update.x_t.powi(2) * (1.0 - alpha_bar) + update.sigma.powi(2);
            prop_assert!((mean - prev.sqrt()).abs() < 1e-12);
            prop_assert!((variance - (1.0 - prev)).abs() < 1e-12);
        }
    }
}
