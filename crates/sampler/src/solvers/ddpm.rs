//! Ancestral sampling (Ho et al. 2020, Algorithm 2): `x_{t-1} = mu~_t(x_t, x_0) + sigma_t z`, with the posterior mean
//! `mu~_t` of Eq. 7 and the network's prediction of `x_0` (Eq. 15).

use schedule::{Posterior, Variance};

use crate::grid::Grid;
use crate::stage::{Stage, StageNoise, Sum};

/// The steps of Algorithm 2 on a grid.
///
/// Written by Eq. 7, the step equals that of Algorithm 2 in eps,
/// `(x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t) + sigma_t z`, and `x_0` can be clipped on the way. On
/// a shorter chain beta and alpha are those between its own levels (Nichol & Dhariwal 2021, Sec. 4). The step that
/// ends at the data adds no noise.
#[must_use]
pub fn ddpm(grid: &Grid, variance: Variance) -> Vec<Stage> {
    each(grid, |posterior| {
        let variance = match variance {
            Variance::FixedLarge => posterior.beta,
            _ => posterior.variance,
        };
        StageNoise::Fixed(variance.sqrt())
    })
}

/// The same for a network with twice the output channels. The second half says for each pixel where the log variance
/// lies between those of the posterior variance (-1) and of beta (1) (Nichol & Dhariwal 2021, Eq. 15).
#[must_use]
pub fn ddpm_learned(grid: &Grid) -> Vec<Stage> {
    each(grid, |posterior| StageNoise::Learned {
        log_min: posterior.variance.ln(),
        log_max: posterior.beta.ln(),
    })
}

fn each(grid: &Grid, noise: impl Fn(&Posterior) -> StageNoise) -> Vec<Stage> {
    (0..grid.steps())
        .map(|i| {
            let (from, to) = (grid.level(i), grid.level(i + 1));
            if to.is_data() {
                // The mean is the predicted image, whatever the rounding of the weights.
                return Stage::new(from, Sum::of_x(0.0, &[1.0]));
            }
            let posterior = Posterior::between(&from, &to);
            let step = Stage::new(from, Sum::of_x(posterior.x_t, &[posterior.x_0]));
            // A step between equal levels has variance 0, which has no logarithm.
            if posterior.beta > 0.0 { Stage { noise: noise(&posterior), ..step } } else { step }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::{BetaSchedule, Level, Prediction, Schedule, Spacing, timesteps};

    fn grid(schedule: &Schedule, spacing: Spacing, steps: usize) -> Grid {
        let mut times: Vec<f64> =
            timesteps(spacing, schedule.steps(), steps).unwrap().into_iter().map(|t| t as f64).collect();
        times.reverse();
        Grid::at_times(schedule, &times, Level::DATA).unwrap()
    }

    /// Algorithm 2, line 4: with x_0 from eps the step has the paper's weights.
    #[test]
    fn is_algorithm_2_line_4() {
        for name in BetaSchedule::NAMES {
            let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            for steps in [1000, 50] {
                let chain = schedule.respace(&timesteps(Spacing::Trailing, 1000, steps).unwrap()).unwrap();
                let stages = ddpm(&grid(&schedule, Spacing::Trailing, steps), Variance::FixedLarge);
                for (stage, t) in stages.iter().zip((1..steps).rev()) {
                    let (from_x, from_eps) =
                        Prediction::Eps.form(&stage.at).map(|form| (form.skip, form.out)).unwrap();
                    let chain = &chain.schedule;
                    let (alpha, beta) = (chain.alphas()[t], chain.betas()[t]);
                    let want_x = 1.0 / alpha.sqrt();
                    let want_eps = -beta / (1.0 - chain.alpha_bars()[t]).sqrt() / alpha.sqrt();
                    let x_0 = stage.next.past[0];
                    let (got_x, got_eps) = (x_0 * from_x + stage.next.x, x_0 * from_eps);
                    // beta is a difference here, accurate to 1e-16 / 1e-4.
                    assert!((got_x / want_x - 1.0).abs() < 1e-10, "{name} t = {t}: {got_x} {want_x}");
                    assert!((got_eps / want_eps - 1.0).abs() < 1e-8, "{name} t = {t}: {got_eps} {want_eps}");
                    let StageNoise::Fixed(sigma) = stage.noise else { panic!("{:?}", stage.noise) };
                    assert!((sigma / beta.sqrt() - 1.0).abs() < 1e-8, "{name} t = {t}: {sigma}");
                }
            }
        }
    }

    #[test]
    fn the_small_variance_is_the_posteriors() {
        let schedule = Schedule::ddpm();
        let stages = ddpm(&grid(&schedule, Spacing::Trailing, 1000), Variance::FixedSmall);
        for (stage, t) in stages.iter().zip((1..1000).rev()) {
            let StageNoise::Fixed(sigma) = stage.noise else { panic!("{:?}", stage.noise) };
            let want = schedule.posterior_variance()[t].sqrt();
            assert!((sigma / want - 1.0).abs() < 1e-8, "t = {t}: {sigma} {want}");
        }
    }

    #[test]
    fn the_last_step_is_the_predicted_image() {
        let grid = grid(&Schedule::ddpm(), Spacing::Trailing, 1000);
        for stages in
            [ddpm(&grid, Variance::FixedSmall), ddpm(&grid, Variance::FixedLarge), ddpm_learned(&grid)]
        {
            let last = &stages[999];
            assert_eq!((&last.next, last.noise), (&Sum::of_x(0.0, &[1.0]), StageNoise::None));
        }
    }

    #[test]
    fn the_learned_range_is_that_of_the_fixed_choices() {
        let grid = grid(&Schedule::ddpm(), Spacing::Trailing, 20);
        let fixed = [Variance::FixedSmall, Variance::FixedLarge].map(|variance| ddpm(&grid, variance));
        for (i, stage) in ddpm_learned(&grid).iter().enumerate().take(19) {
            let StageNoise::Learned { log_min, log_max } = stage.noise else { panic!("{:?}", stage.noise) };
            for (log, stages) in [log_min, log_max].into_iter().zip(&fixed) {
                let StageNoise::Fixed(sigma) = stages[i].noise else { panic!() };
                assert!((log - 2.0 * sigma.ln()).abs() < 1e-12);
            }
        }
    }
}
