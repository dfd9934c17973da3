//! DPM-Solver++ (Lu et al. 2022b, "DPM-Solver++: Fast Solver for Guided Sampling"): the exact solution of the
//! diffusion equation in `lambda`,
//!
//! ```text
//! x' = sigma' / sigma x + sigma' int_lambda^lambda' e^l x_0(l) dl          (Prop. 4.1)
//! ```
//!
//! with `x_0(l)` replaced by its Taylor polynomial at the start of the step, whose derivatives come from earlier
//! steps (multistep). `h = lambda' - lambda` is infinite in the step to the data itself; that step is first order,
//! which gives `x_0`.

use crate::grid::Grid;
use crate::solvers::multistep_order;
use crate::stage::{Stage, Sum};

/// Settings of DPM-Solver++.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpmPp {
    /// The order of the method, 1 to 3 (with noise at most 2). Order 1 is DDIM or, with noise, a solver of the
    /// reverse SDE.
    pub order: usize,
    /// How the first derivative enters a step of second order.
    pub correction: Correction,
    /// Solve the reverse SDE instead of the flow: SDE-DPM-Solver++.
    pub sde: bool,
    /// In chains of fewer than 15 steps, take the last two steps at order 2 and 1, which is more stable.
    pub lower_order_final: bool,
    /// Weight the second derivative in a third-order step as published code does, at half of what the Taylor
    /// polynomial says. The method is then only second order: fitted 2.0, against 3.0 with the full weight.
    pub half_third: bool,
}

/// Two forms of the second-order term, equal up to the third order in h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// The value in the middle of the step (Lu et al. 2022b, Algorithm 2).
    Midpoint,
    /// The integral of the Taylor polynomial.
    Taylor,
}

impl DpmPp {
    /// The multistep solver of this order, 1 to 3.
    #[must_use]
    pub fn multistep(order: usize) -> Self {
        Self {
            order,
            correction: Correction::Midpoint,
            sde: false,
            lower_order_final: true,
            half_third: false,
        }
    }
}

/// The steps on a grid.
#[must_use]
pub fn dpmpp(grid: &Grid, settings: &DpmPp) -> Vec<Stage> {
    (0..grid.steps())
        .map(|i| {
            step(
                grid,
                i,
                multistep_order(grid, i, i + 1, settings.order, settings.lower_order_final),
                settings,
            )
        })
        .collect()
}

fn step(grid: &Grid, i: usize, order: usize, settings: &DpmPp) -> Stage {
    let (from, to) = (grid.level(i), grid.level(i + 1));
    let h = grid.h(i);
    // The SDE has the same integrals with 2 h (Lu et al. 2022b, SDE-DPM-Solver++).
    let (reach, decay) = if settings.sde { (2.0 * h, (-h).exp()) } else { (h, 1.0) };
    let integral = Integrals::over(reach);
    let x = to.sigma / from.sigma * decay;

    let mut past = vec![to.alpha * integral.constant];
    if order >= 2 {
        // Per step length: D1_0 = (m_0 - m_1) h / h_0.
        let first = match settings.correction {
            Correction::Midpoint if order == 2 => 0.5 * integral.constant,
            _ => integral.linear,
        } * to.alpha;
        let per_step = h / grid.h(i - 1);
        let newest = [per_step, -per_step, 0.0];
        let mut first_derivative = newest;
        if order == 3 {
            let (r_0, r_1) = (grid.h(i - 1) / h, grid.h(i - 2) / h);
            let before = [0.0, 1.0 / r_1, -1.0 / r_1];
            let change: [f64; 3] = std::array::from_fn(|k| newest[k] - before[k]);
            // Newton's interpolation through three steps: slope at the newest, and half the curvature.
            first_derivative = std::array::from_fn(|k| newest[k] + share(r_0, r_1) * change[k]);
            let weight = to.alpha * if settings.half_third { 0.5 } else { 1.0 } * integral.quadratic;
            past.resize(3, 0.0);
            for (w, change) in past.iter_mut().zip(change) {
                *w += weight * change / (r_0 + r_1);
            }
        }
        past.resize(order, 0.0);
        for (w, derivative) in past.iter_mut().zip(first_derivative) {
            *w += first * derivative;
        }
    }
    let noise = if settings.sde { to.sigma * (-(-reach).exp_m1()).sqrt() } else { 0.0 };
    Stage::new(from, Sum::of_x(x, &past)).with_noise(noise)
}

/// `r_0 / (r_0 + r_1)`; 0 when the step before the last one began without any signal, infinitely far away.
fn share(r_0: f64, r_1: f64) -> f64 {
    if r_1.is_infinite() { 0.0 } else { r_0 / (r_0 + r_1) }
}

/// `int_0^h e^(l - h) (l / h)^k dl` for k = 0, 1, 2.
struct Integrals {
    constant: f64,
    linear: f64,
    quadratic: f64,
}

impl Integrals {
    fn over(h: f64) -> Self {
        let constant = -(-h).exp_m1();
        if h < 1e-2 {
            // The closed forms cancel: take the series, h / (k + 1) - h^2 / ((k + 1)(k + 2)) + ...
            let series = |k: i32| {
                let mut term = 1.0;
                (1..=6).fold(0.0, |sum, n| {
                    term *= -h / f64::from(k + n);
                    sum - term
                })
            };
            return Self { constant, linear: series(1), quadratic: series(2) };
        }
        // By parts: I_k = 1 - k / h I_{k-1}; all are 1 when h is infinite and e^-h vanishes.
        let linear = 1.0 - constant / h;
        Self { constant, linear, quadratic: 1.0 - 2.0 / h * linear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::ddim;
    use crate::stage::StageNoise;
    use schedule::{Level, Schedule};

    fn grid(times: &[f64]) -> Grid {
        Grid::at_times(&Schedule::ddpm(), times, Level::DATA).unwrap()
    }

    #[test]
    fn first_order_is_ddim() {
        let grid = grid(&[999.0, 700.0, 300.5, 20.0]);
        for (a, b) in dpmpp(&grid, &DpmPp::multistep(1)).iter().zip(ddim(&grid, 0.0)) {
            assert!((a.next.x - b.next.x).abs() < 1e-12, "{a:?} {b:?}");
            assert!((a.next.past[0] - b.next.past[0]).abs() < 1e-12, "{a:?} {b:?}");
        }
    }

    /// The integrals against Simpson's rule, on both sides of where the series takes over.
    #[test]
    fn integrals_are_those_of_the_definition() {
        for h in [1e-4, 9.9e-3, 1.01e-2, 0.3, 2.0, 10.0] {
            let numeric = |k: i32| {
                let n = 2000;
                let f = |j: i32| {
                    let l = h * f64::from(j) / f64::from(n);
                    (l - h).exp() * (l / h).powi(k)
                };
                let inner: f64 = (1..n).map(|j| f(j) * if j % 2 == 1 { 4.0 } else { 2.0 }).sum();
                (f(0) + inner + f(n)) * h / f64::from(3 * n)
            };
            let Integrals { constant, linear, quadratic } = Integrals::over(h);
            for (k, got) in [constant, linear, quadratic].into_iter().enumerate() {
                let want = numeric(k as i32);
                assert!((got / want - 1.0).abs() < 1e-9, "h = {h}, k = {k}: {got} is not {want}");
            }
        }
        let Integrals { constant, linear, quadratic } = Integrals::over(f64::INFINITY);
        assert_eq!((constant, linear, quadratic), (1.0, 1.0, 1.0));
    }

    /// A step of order p is exact where x_0 is a polynomial of degree p - 1 in lambda: the weights applied to the
    /// values of `l^k` give the integral.
    #[test]
    fn polynomials_are_integrated_exactly() {
        let grid = grid(&[900.0, 850.0, 720.0, 640.0, 600.0]);
        let i = 3;
        let (from, to) = (grid.level(i), grid.level(i + 1));
        for order in 1..=3 {
            let settings = DpmPp { correction: Correction::Taylor, ..DpmPp::multistep(order) };
            let stage = step(&grid, i, order, &settings);
            for degree in 0..order as i32 {
                let value = |lambda: f64| (lambda - from.lambda()).powi(degree);
                let got: f64 = stage
                    .next
                    .past
                    .iter()
                    .enumerate()
                    .map(|(k, w)| w * value(grid.level(i - k).lambda()))
                    .sum();
                let n = 2000;
                let h = grid.h(i);
                let f = |j: i32| {
                    let l = h * f64::from(j) / f64::from(n);
                    (l - h).exp() * l.powi(degree)
                };
                let inner: f64 = (1..n).map(|j| f(j) * if j % 2 == 1 { 4.0 } else { 2.0 }).sum();
                let want = to.alpha * (f(0) + inner + f(n)) * h / f64::from(3 * n);
                assert!((got - want).abs() < 1e-12, "order {order}, degree {degree}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn the_sde_keeps_the_variance_of_pure_noise() {
        let settings = DpmPp { sde: true, ..DpmPp::multistep(1) };
        let grid = grid(&[999.0, 700.0, 300.0, 20.0]);
        for (i, stage) in dpmpp(&grid, &settings).iter().enumerate().take(3) {
            // With x_0 = 0, x is sigma times noise before and after.
            let StageNoise::Fixed(noise) = stage.noise else { panic!("{:?}", stage.noise) };
            let got = (stage.next.x * grid.level(i).sigma).hypot(noise);
            assert!((got - grid.level(i + 1).sigma).abs() < 1e-12);
        }
    }

    #[test]
    fn orders_rise_and_fall() {
        let orders = |steps: usize, lower_order_final| {
            let times: Vec<f64> = (1..=steps).rev().map(|i| i as f64 * 900.0 / steps as f64).collect();
            let settings = DpmPp { lower_order_final, ..DpmPp::multistep(3) };
            dpmpp(&grid(&times), &settings).iter().map(|stage| stage.next.past.len()).collect::<Vec<_>>()
        };
        assert_eq!(orders(6, true), [1, 2, 3, 3, 2, 1]);
        assert_eq!(orders(6, false), [1, 2, 3, 3, 3, 1]);
        assert_eq!(orders(16, true)[12..], [3, 3, 3, 1]);
    }

    #[test]
    fn a_start_without_signal_is_finite() {
        let schedule = Schedule::ddpm().with_zero_terminal_snr().unwrap();
        let grid = Grid::at_times(&schedule, &[999.0, 900.0, 700.0, 400.0, 100.0], Level::DATA).unwrap();
        for sde in [false, true] {
            for order in 1..=3 {
                let stages =
                    dpmpp(&grid, &DpmPp { sde, lower_order_final: false, ..DpmPp::multistep(order) });
                assert!(stages.iter().all(Stage::is_finite), "{stages:?}");
            }
        }
    }
}
