//! Ancestral sampling (Ho et al. 2020, Algorithm 2): `x_{t-1} = mu~_t(x_t, x_0) + sigma_t z`, with the
//! posterior mean `mu~_t` of Eq. 7 and `x_0` as the network predicts it (Eq. 15).

use schedule::{Schedule, Variance};

use crate::update::Update;

/// The weights of every step of a chain, whole or respaced, at index t in `0..T`.
///
/// Through Eq. 7 the step is the one Algorithm 2 writes in eps,
/// `(x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t) + sigma_t z`, and `x_0` can be clipped on the
/// way. In a respaced chain beta and alpha are those of the shorter chain (Nichol & Dhariwal 2021, Sec. 4).
/// The last step, t = 0, adds no noise.
///
/// ```
/// use schedule::{Schedule, Variance};
/// let updates = sampler::ddpm_updates(&Schedule::ddpm(), Variance::FixedLarge);
/// assert!((updates[999].sigma - 0.02_f64.sqrt()).abs() < 1e-15);
/// assert_eq!(updates[0].sigma, 0.0);
/// ```
#[must_use]
pub fn ddpm_updates(chain: &Schedule, variance: Variance) -> Vec<Update> {
    let sigmas = chain.sigmas(variance);
    (0..chain.steps())
        .map(|t| Update {
            x_0: chain.posterior_mean_x_0()[t],
            x_t: chain.posterior_mean_x_t()[t],
            sigma: if t == 0 { 0.0 } else { sigmas[t] },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Prediction;
    use schedule::{BetaSchedule, Spacing, timesteps};

    /// Algorithm 2, line 4: with x_0 from eps the step has the weights that the paper writes.
    #[test]
    fn is_algorithm_2_line_4() {
        for name in BetaSchedule::NAMES {
            let whole = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            let short = whole.respace(&timesteps(Spacing::Trailing, 1000, 50).unwrap()).unwrap().schedule;
            for chain in [whole, short] {
                let updates = ddpm_updates(&chain, Variance::FixedLarge);
                for (t, update) in updates.iter().enumerate().skip(1) {
                    let (from_x_t, from_eps) = Prediction::Eps.x_0_weights(&chain, t).unwrap();
                    let (alpha, beta) = (chain.alphas()[t], chain.betas()[t]);
                    let want_x_t = 1.0 / alpha.sqrt();
                    let want_eps = -beta / (1.0 - chain.alpha_bars()[t]).sqrt() / alpha.sqrt();
                    let (got_x_t, got_eps) = (update.x_0 * from_x_t + update.x_t, update.x_0 * from_eps);
                    assert!((got_x_t / want_x_t - 1.0).abs() < 1e-10, "{name} t = {t}: {got_x_t} {want_x_t}");
                    assert!((got_eps / want_eps - 1.0).abs() < 1e-10, "{name} t = {t}: {got_eps} {want_eps}");
                    assert_eq!(update.sigma, beta.sqrt());
                }
            }
        }
    }

    #[test]
    fn the_last_step_is_the_predicted_image() {
        for variance in [Variance::FixedSmall, Variance::FixedLarge] {
            let last = ddpm_updates(&Schedule::ddpm(), variance)[0];
            assert!((last.x_0 - 1.0).abs() < 1e-11, "{last:?}");
            assert_eq!((last.x_t, last.sigma), (0.0, 0.0));
        }
    }
}
