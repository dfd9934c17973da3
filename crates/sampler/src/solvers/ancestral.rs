//! Euler steps with ancestral noise: each step goes down to `sigma_down`, below its target, and noise `sigma_up`
//! brings it back up to the target level, `sigma_down^2 + sigma_up^2 = sigma^2`.
//!
//! With eta = 1, `sigma_up^2 = sigma_to^2 (sigma_from^2 - sigma_to^2) / sigma_from^2` is the posterior variance of Ho et
//! al. 2020 (Eq. 7) in the variables of Karras et al. 2022, so on the same levels this is DDPM with the posterior variance.

use schedule::Level;

use crate::grid::Grid;
use crate::stage::{Stage, Sum, transfer};

/// The steps on a grid; `eta` in [0, 1] scales `sigma_up`.
#[must_use]
pub fn euler_ancestral(grid: &Grid, eta: f64) -> Vec<Stage> {
    (0..grid.steps())
        .map(|i| {
            let (from, to) = (grid.level(i), grid.level(i + 1));
            // Relative to sigma_from, which may be infinite.
            let share = to.ratio() / from.ratio();
            let up = (eta * to.ratio() * (1.0 - share * share).max(0.0).sqrt()).min(to.ratio());
            let down = (to.ratio().powi(2) - up.powi(2)).max(0.0).sqrt();
            // The mean is alpha_to times the state at sigma_down.
            let mean = Level { t: to.t, alpha: to.alpha, sigma: to.alpha * down };
            let (x, x_0) = transfer(from, mean);
            Stage::new(from, Sum::of_x(x, &[x_0])).with_noise(to.alpha * up)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::{ddim, ddpm};
    use crate::stage::StageNoise;
    use schedule::{Schedule, Variance};

    fn close(a: &[Stage], b: &[Stage]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a.next.x - b.next.x).abs() < 1e-12, "{a:?} {b:?}");
            assert!((a.next.past[0] - b.next.past[0]).abs() < 1e-12, "{a:?} {b:?}");
            match (a.noise, b.noise) {
                (StageNoise::Fixed(a), StageNoise::Fixed(b)) => assert!((a - b).abs() < 1e-12),
                (a, b) => assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn eta_1_is_ddpm_and_eta_0_is_ddim() {
        let grid = Grid::at_times(&Schedule::ddpm(), &[999.0, 700.0, 300.5, 20.0], Level::DATA).unwrap();
        close(&euler_ancestral(&grid, 1.0), &ddpm(&grid, Variance::FixedSmall));
        close(&euler_ancestral(&grid, 0.0), &ddim(&grid, 0.0));
    }
}
