//! Denoising diffusion implicit models (Song et al. 2021, Eq. 12 and 16):
//! `x_{t-1} = sqrt(alpha_bar_{t-1}) x_0 + sqrt(1 - alpha_bar_{t-1} - sigma_t^2) eps + sigma_t z`. Their alpha is
//! the alpha_bar of Ho et al. 2020.

use schedule::Posterior;

use crate::grid::Grid;
use crate::stage::{Stage, Sum};

/// The steps of DDIM on a grid; `eta` in [0, 1].
///
/// `sigma_t^2 = eta^2 beta~_t`, the posterior variance of that grid: eta = 1 is DDPM with
/// [`schedule::Variance::FixedSmall`], eta = 0 adds no noise at all.
///
/// eps is the noise in `x_t` given the predicted `x_0`, `(x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)`.
/// Where `x_0` was clipped this differs from the network's eps, but it keeps the pair consistent, and eta = 1 equal
/// to DDPM.
#[must_use]
pub fn ddim(grid: &Grid, eta: f64) -> Vec<Stage> {
    (0..grid.steps())
        .map(|i| {
            let (from, to) = (grid.level(i), grid.level(i + 1));
            let variance = eta * eta * Posterior::between(&from, &to).variance;
            // Rounding can make the difference slightly negative.
            let direction = (to.sigma.powi(2) - variance).max(0.0).sqrt();
            let x = direction / from.sigma;
            Stage::new(from, Sum::of_x(x, &[to.alpha - from.alpha * x])).with_noise(variance.sqrt())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::ddpm;
    use crate::stage::{StageNoise, transfer};
    use schedule::{Level, Schedule, Variance};

    fn grid() -> Grid {
        Grid::at_times(&Schedule::ddpm(), &[999.0, 700.0, 300.5, 20.0], Level::DATA).unwrap()
    }

    #[test]
    fn eta_1_is_ddpm_with_the_posterior_variance() {
        for (a, b) in ddim(&grid(), 1.0).iter().zip(ddpm(&grid(), Variance::FixedSmall)) {
            assert!((a.next.x - b.next.x).abs() < 1e-12, "{a:?} {b:?}");
            assert!((a.next.past[0] - b.next.past[0]).abs() < 1e-12, "{a:?} {b:?}");
            match (a.noise, b.noise) {
                (StageNoise::Fixed(a), StageNoise::Fixed(b)) => assert!((a - b).abs() < 1e-12),
                (a, b) => assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn eta_0_keeps_x_0_and_eps() {
        let grid = grid();
        for (i, stage) in ddim(&grid, 0.0).iter().enumerate() {
            let (x, x_0) = transfer(grid.level(i), grid.level(i + 1));
            assert!((stage.next.x - x).abs() < 1e-15 && (stage.next.past[0] - x_0).abs() < 1e-15);
            assert_eq!(stage.noise, StageNoise::None);
        }
    }
}
