//! PNDM (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds"): the four-step
//! Adams-Bashforth method on eps, along `x' = alpha' / alpha x + (sigma' - sigma alpha' / alpha) eps` (their Eq. 11)
//! instead of a straight line.
//!
//! The first three steps have no history. PNDM proper takes them by a Runge-Kutta method with four calls each;
//! PLMS takes two calls for the first step and lower orders for the next two. A leap out of noise ([`Grid::leaps`]) is a
//! step of first order, one call, in both.

use schedule::{Level, NoisePath, ScheduleError};

use crate::grid::Grid;
use crate::solvers::out_of_nothing;
use crate::stage::{Memory, Stage, Sum, transfer_eps};

/// Weights of the last values of eps (Adams and Bashforth), the newest first.
const ADAMS_BASHFORTH: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// The calls on a grid whose times must be evenly spaced; `runge_kutta` chooses PNDM over PLMS.
///
/// # Errors
/// Those of [`NoisePath::level_at`] for a grid that is not the path's.
pub fn pndm(grid: &Grid, path: &dyn NoisePath, runge_kutta: bool) -> Result<Vec<Stage>, ScheduleError> {
    let steps = grid.steps();
    let mut stages = Vec::from_iter(out_of_nothing(grid));
    let begin = stages.len();
    for step in begin..steps {
        let (from, to) = (grid.level(step), grid.level(step + 1));
        // Steps before `begin` leave no value of eps.
        let i = step - begin;
        if grid.leaps(step) {
            stages.push(call(from, |eps| Sum::of_x(eps.0, &[eps.1]), to));
        } else if i < 3 && runge_kutta && !to.is_data() {
            let middle = middle(from, to, path)?;
            stages.extend(runge_kutta_step(from, middle, to));
        } else if i == 0 && !runge_kutta && step + 1 < steps {
            stages.extend(improved_euler_step(from, to));
        } else {
            let weights = ADAMS_BASHFORTH[i.min(3)];
            stages.push(call(from, |eps| Sum::of_x(eps.0, &scaled(weights, eps.1)), to));
        }
    }
    Ok(stages)
}

/// A call at a level, and the step from there to another with a combination of eps.
fn call(from: Level, next: impl Fn((f64, f64)) -> Sum, to: Level) -> Stage {
    Stage { memory: Memory::Eps, ..Stage::new(from, next(transfer_eps(from, to))) }
}

fn scaled(weights: &[f64], by: f64) -> Vec<f64> {
    weights.iter().map(|w| w * by).collect()
}

/// Half-way in t, at a whole t when both ends are.
fn middle(from: Level, to: Level, path: &dyn NoisePath) -> Result<Level, ScheduleError> {
    let between = (from.t + to.t) / 2.0;
    let whole = from.t.fract() == 0.0 && to.t.fract() == 0.0;
    path.level_at(if whole { between.ceil() } else { between })
}

/// Liu et al. 2022, Eq. 13: the classical Runge-Kutta method, each stage from the start of the step.
fn runge_kutta_step(from: Level, middle: Level, to: Level) -> [Stage; 4] {
    let (half, full) = (transfer_eps(from, middle), transfer_eps(from, to));
    let stage = |at, weights: (f64, f64), past: &[f64]| Stage {
        memory: Memory::Eps,
        completes: false,
        ..Stage::new(at, Sum::of_held(weights.0, &scaled(past, weights.1)))
    };
    let sixths = [1.0 / 6.0, 2.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0];
    [
        Stage { hold: Some(Sum::of_x(1.0, &[])), ..stage(from, half, &[1.0]) },
        stage(middle, half, &[1.0]),
        stage(middle, full, &[1.0]),
        // Only the first of the four values of eps enters the history.
        Stage { forget: 3, completes: true, ..stage(to, full, &sixths) },
    ]
}

/// The first step of PLMS: to the next level, a call there, and the step again with the mean.
fn improved_euler_step(from: Level, to: Level) -> [Stage; 2] {
    let (x, eps) = transfer_eps(from, to);
    let stage = |at, next| Stage { memory: Memory::Eps, ..Stage::new(at, next) };
    [
        Stage { hold: Some(Sum::of_x(1.0, &[])), completes: false, ..stage(from, Sum::of_held(x, &[eps])) },
        Stage { forget: 1, ..stage(to, Sum::of_held(x, &[eps / 2.0, eps / 2.0])) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::Schedule;

    fn grid() -> Grid {
        Grid::at_times(&Schedule::ddpm(), &[900.0, 700.0, 500.0, 300.0, 100.0], Level::DATA).unwrap()
    }

    fn times(runge_kutta: bool) -> Vec<f64> {
        pndm(&grid(), &Schedule::ddpm(), runge_kutta).unwrap().iter().map(|stage| stage.at.t).collect()
    }

    #[test]
    fn where_the_network_looks() {
        assert_eq!(times(false), [900.0, 700.0, 700.0, 500.0, 300.0, 100.0]);
        let three_steps =
            [900.0, 800.0, 800.0, 700.0, 700.0, 600.0, 600.0, 500.0, 500.0, 400.0, 400.0, 300.0];
        assert_eq!(times(true), [&three_steps[..], &[300.0, 100.0]].concat());
    }

    /// With constant eps every method moves along the transfer itself.
    #[test]
    fn weights_of_eps_sum_to_the_transfer() {
        let (schedule, grid) = (Schedule::ddpm(), grid());
        for runge_kutta in [false, true] {
            let stages = pndm(&grid, &schedule, runge_kutta).unwrap();
            let done: Vec<&Stage> = stages.iter().filter(|stage| stage.completes).collect();
            assert_eq!(done.len(), 5);
            for (i, stage) in done.into_iter().enumerate() {
                let (x, eps) = transfer_eps(grid.level(i), grid.level(i + 1));
                assert!((stage.next.x + stage.next.held - x).abs() < 1e-12);
                assert!((stage.next.past.iter().sum::<f64>() - eps).abs() < 1e-9, "{stage:?}");
            }
        }
    }

    #[test]
    fn short_chains_do_what_they_can() {
        let schedule = Schedule::ddpm();
        for runge_kutta in [false, true] {
            let one = Grid::at_times(&schedule, &[999.0], Level::DATA).unwrap();
            let stages = pndm(&one, &schedule, runge_kutta).unwrap();
            assert_eq!((stages.len(), stages[0].next.past.len()), (1, 1));
        }
    }
}
