//! Heun's method on the probability flow, with churn (Karras et al. 2022, Algorithms 1 and 2): an Euler step, a
//! second call at its end, and the mean of both slopes `d = (x^ - x_0) / sigma^` in `x^ = x / alpha`,
//! `sigma^ = sigma / alpha`. It is second order, with two network calls a step. The step to the data itself is an
//! Euler step with one call, and so are a leap out of noise ([`Grid::leaps`]) and, when encoding, the step to a level
//! without signal, whose `sigma^` is infinite.

use schedule::{NoisePath, ScheduleError};

use crate::grid::Grid;
use crate::solvers::euler::ChurnSettings;
use crate::stage::{Stage, Sum, transfer};

/// The calls of Heun's method on a grid.
///
/// # Errors
/// Those of [`NoisePath::level_of_ratio`] for a grid that is not the path's.
pub fn heun(grid: &Grid, path: &dyn NoisePath, churn: &ChurnSettings) -> Result<Vec<Stage>, ScheduleError> {
    let mut stages = Vec::new();
    for i in 0..grid.steps() {
        let (at, churn) = churn.at(grid, i, path)?;
        let to = grid.level(i + 1);
        let (x, x_0) = transfer(at, to);
        let first = Stage { churn, ..Stage::new(at, Sum::of_x(x, &[x_0])) };
        if to.is_data() || to.alpha <= 0.0 || grid.leaps(i) {
            stages.push(first);
            continue;
        }
        stages.push(Stage { hold: Some(Sum::of_x(1.0, &[])), completes: false, ..first });
        // x^' = x^ + (sigma^' - sigma^) (d + d') / 2, times alpha'.
        let (here, there) = (at.ratio(), to.ratio());
        let half = (there - here) / 2.0;
        let second = Sum {
            held: to.alpha / at.alpha * (1.0 + half / here),
            x: half / there,
            past: vec![-to.alpha * half / there, -to.alpha * half / here],
        };
        stages.push(Stage::new(to, second));
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Level;
    use schedule::Schedule;

    #[test]
    fn two_calls_a_step_and_one_for_the_last() {
        let schedule = Schedule::ddpm();
        let grid = Grid::at_times(&schedule, &[800.0, 500.0, 100.0], Level::DATA).unwrap();
        let stages = heun(&grid, &schedule, &ChurnSettings::NONE).unwrap();
        let seen: Vec<(f64, bool)> = stages.iter().map(|stage| (stage.at.t, stage.completes)).collect();
        assert_eq!(seen, [(800.0, false), (500.0, true), (500.0, false), (100.0, true), (100.0, true)]);
    }

    #[test]
    fn a_leap_out_of_noise_is_one_call() {
        let cosine = schedule::BetaSchedule::from_name("cosine").unwrap();
        let cosine = Schedule::new(&cosine, 1000).unwrap();
        for schedule in [cosine, Schedule::ddpm().with_zero_terminal_snr().unwrap()] {
            let grid = Grid::at_times(&schedule, &[999.0, 800.0, 500.0], Level::DATA).unwrap();
            let stages = heun(&grid, &schedule, &ChurnSettings::NONE).unwrap();
            let seen: Vec<f64> = stages.iter().map(|stage| stage.at.t).collect();
            assert_eq!(seen, [999.0, 800.0, 500.0, 500.0]);
            assert!(stages.iter().all(|stage| stage.is_finite() && stage.next.past[0].abs() < 10.0));
        }
    }

    /// An image is encoded up to pure noise, where the second call of a step would divide by zero.
    #[test]
    fn encoding_ends_at_noise_without_signal() {
        let straight = schedule::ContinuousPath::new(schedule::Continuous::Straight, 1000).unwrap();
        let zero = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        for path in [&straight as &dyn NoisePath, &zero] {
            let method = crate::Method::Heun { churn: ChurnSettings::NONE };
            let config = crate::SamplerConfig {
                steps: Some(10),
                end: crate::End::FirstStep,
                prediction: schedule::Prediction::V,
                ..crate::SamplerConfig::new(method)
            };
            let calls = crate::Encoder::new(path, &config).unwrap().calls();
            assert_eq!(calls % 2, 1, "{calls}");
        }
    }

    /// For data that is a single grey the flow is a straight line in sigma^: the second call changes nothing.
    #[test]
    fn a_straight_flow_is_followed_exactly() {
        let schedule = Schedule::ddpm();
        let grid = Grid::at_times(&schedule, &[800.0, 500.0], Level::DATA).unwrap();
        let stages = heun(&grid, &schedule, &ChurnSettings::NONE).unwrap();
        let (from, to) = (grid.level(0), grid.level(1));
        let (grey, eps) = (0.3, 1.7);
        let (held, x) = (from.alpha * grey + from.sigma * eps, to.alpha * grey + to.sigma * eps);
        let Sum { x: w_x, held: w_held, past } = &stages[1].next;
        let got = w_x * x + w_held * held + (past[0] + past[1]) * grey;
        assert!((got - x).abs() < 1e-12, "{got} {x}");
    }
}
