//! UniPC (Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework"), for data prediction. It combines a
//! multistep predictor like that of DPM-Solver++ with a corrector. The corrector reuses the network's call at the
//! predictor's result, so it needs no call of its own. It raises the predictor's order p to p + 1.

use crate::grid::Grid;
use crate::stage::{Stage, Sum};

/// Settings of UniPC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UniPc {
    /// 1 to 3: the order p of the predictor.
    pub order: usize,
    /// `B(h)`.
    pub b: BFunction,
    /// Take the last steps at falling order, down to 1.
    pub lower_order_final: bool,
    /// Whether to use the corrector; without it this is a multistep predictor.
    pub correct: bool,
}

/// The free function of the method (Zhao et al. 2023, Sec. 3.1); any with `B(h) = O(h)` keeps the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BFunction {
    /// `B_1(h) = h`.
    H,
    /// `B_2(h) = e^h - 1`.
    ExpM1,
}

impl UniPc {
    /// The usual settings of an order, 1 to 3: `B_2`, with the corrector.
    #[must_use]
    pub fn of_order(order: usize) -> Self {
        Self { order, b: BFunction::ExpM1, lower_order_final: true, correct: true }
    }
}

/// The calls on a grid.
#[must_use]
pub fn unipc(grid: &Grid, settings: &UniPc) -> Vec<Stage> {
    let steps = grid.steps();
    let order_at = |i: usize| {
        // A level without signal is infinitely far away, so differences to it are useless.
        let near = (0..=i).rev().take_while(|&k| k == i || grid.level(k).lambda().is_finite()).count();
        let order = settings.order.min(near);
        match (grid.level(i + 1).is_data(), settings.lower_order_final) {
            (true, _) => 1,
            (false, true) => order.min(steps - i),
            (false, false) => order,
        }
    };
    (0..steps)
        .map(|i| {
            // The state that this step starts from: the predictor's result, or its correction.
            let hold = if i > 0 && settings.correct {
                corrector(grid, i - 1, order_at(i - 1), settings.b)
            } else {
                Sum::of_x(1.0, &[])
            };
            let next = predictor(grid, i, order_at(i), settings.b);
            Stage { hold: Some(hold), ..Stage::new(grid.level(i), next) }
        })
        .collect()
}

/// From the held state at level i to level i + 1; the newest memory is `m_i`.
fn predictor(grid: &Grid, i: usize, order: usize, b: BFunction) -> Sum {
    let terms = Terms::new(grid, i, order, b);
    let weights = match order {
        1 => vec![],
        // The solution for B_2 in the limit of small h, which the paper uses for both.
        2 => vec![0.5],
        _ => terms.solve(order - 1),
    };
    let mut past = vec![0.0; order];
    past[0] = terms.constant;
    terms.add_differences(&weights, &mut past);
    Sum::of_held(terms.x, &past)
}

/// The step from the held state at level i to level i + 1 again, now with `m_{i+1}`, the newest memory.
fn corrector(grid: &Grid, i: usize, order: usize, b: BFunction) -> Sum {
    let terms = Terms::new(grid, i, order, b);
    let weights = if order == 1 { vec![0.5] } else { terms.solve(order) };
    let mut past = vec![0.0; order + 1];
    past[1] = terms.constant;
    terms.add_differences(&weights[..order - 1], &mut past[1..]);
    let of_new = terms.scale * weights[order - 1];
    past[0] += of_new;
    past[1] -= of_new;
    Sum::of_held(terms.x, &past)
}

/// What predictor and corrector of one step share.
struct Terms {
    /// Weight of the state.
    x: f64,
    /// Weight of `m_i` in the step of first order.
    constant: f64,
    /// `-alpha' B(-h)`, the factor of the differences.
    scale: f64,
    /// `r_k`: the positions of the earlier calls, in step lengths from the start; the last is 1, the end.
    r: Vec<f64>,
    /// Right-hand side of the order conditions.
    rhs: Vec<f64>,
}

impl Terms {
    fn new(grid: &Grid, i: usize, order: usize, b: BFunction) -> Self {
        let (from, to) = (grid.level(i), grid.level(i + 1));
        let h = grid.h(i);
        let step_1 = (-h).exp_m1();
        let b_h = match b {
            BFunction::H if h.is_finite() => -h,
            _ => step_1,
        };
        let mut r: Vec<f64> = (1..order).map(|k| (grid.level(i - k).lambda() - from.lambda()) / h).collect();
        r.push(1.0);
        // phi_{n+1}(-h) = (phi_n(-h) - 1 / n!) / -h (Zhao et al. 2023, Eq. 3), times n! / B.
        let (mut phi, mut factorial) = (step_1 / -h, 1.0);
        let rhs = (1..=order)
            .map(|n| {
                factorial *= n as f64;
                phi = (phi - 1.0 / factorial) / -h;
                -h * phi * factorial / b_h
            })
            .collect();
        Self { x: to.sigma / from.sigma, constant: -to.alpha * step_1, scale: -to.alpha * b_h, r, rhs }
    }

    /// Weights of the differences `(m_{i-k} - m_i) / r_k` on the memories, `m_i` first.
    fn add_differences(&self, weights: &[f64], past: &mut [f64]) {
        for (k, w) in weights.iter().enumerate() {
            let w = self.scale * w / self.r[k];
            past[k + 1] += w;
            past[0] -= w;
        }
    }

    /// `sum_k r_k^(n-1) w_k = rhs_n` for n = 1..=size, a Vandermonde system of at most three unknowns.
    fn solve(&self, size: usize) -> Vec<f64> {
        let mut rows: Vec<Vec<f64>> = (0..size)
            .map(|n| {
                let mut row: Vec<f64> = self.r[..size].iter().map(|r| r.powi(n as i32)).collect();
                row.push(self.rhs[n]);
                row
            })
            .collect();
        for column in 0..size {
            let pivot = (column..size)
                .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
                .unwrap_or(column);
            rows.swap(column, pivot);
            let pivot_row = rows[column].clone();
            for (n, row) in rows.iter_mut().enumerate() {
                if n != column {
                    let factor = row[column] / pivot_row[column];
                    row.iter_mut().zip(&pivot_row).for_each(|(a, b)| *a -= factor * b);
                }
            }
        }
        (0..size).map(|n| rows[n][size] / rows[n][n]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::{DpmPp, dpmpp};
    use schedule::{Level, Schedule};

    fn grid() -> Grid {
        Grid::at_times(&Schedule::ddpm(), &[900.0, 850.0, 720.0, 640.0, 600.0, 500.0], Level::DATA).unwrap()
    }

    /// The order conditions: predictor and corrector are exact for polynomials in lambda.
    #[test]
    fn polynomials_are_integrated_exactly() {
        let (grid, i) = (grid(), 3);
        let (from, to, h) = (grid.level(i), grid.level(i + 1), grid.h(i));
        let exact = |degree: i32| {
            let n = 2000;
            let f = |j: i32| {
                let l = h * f64::from(j) / f64::from(n);
                (l - h).exp() * l.powi(degree)
            };
            let inner: f64 = (1..n).map(|j| f(j) * if j % 2 == 1 { 4.0 } else { 2.0 }).sum();
            to.alpha * (f(0) + inner + f(n)) * h / f64::from(3 * n)
        };
        for b in [BFunction::H, BFunction::ExpM1] {
            for (sum, newest, degrees) in [
                (predictor(&grid, i, 3, b), i, 3),
                (corrector(&grid, i, 2, b), i + 1, 3),
                (corrector(&grid, i, 3, b), i + 1, 4),
            ] {
                for degree in 0..degrees {
                    let value = |level: usize| (grid.level(level).lambda() - from.lambda()).powi(degree);
                    let got: f64 = sum.past.iter().enumerate().map(|(k, w)| w * value(newest - k)).sum();
                    let want = exact(degree);
                    assert!((got - want).abs() < 1e-11, "{b:?}, {degrees}, degree {degree}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn without_a_corrector_order_2_is_dpmpp_2m() {
        let settings = UniPc { correct: false, ..UniPc::of_order(2) };
        for (a, b) in unipc(&grid(), &settings).iter().zip(dpmpp(&grid(), &DpmPp::multistep(2))) {
            assert_eq!(a.hold, Some(Sum::of_x(1.0, &[])));
            assert!((a.next.held - b.next.x).abs() < 1e-12);
            for (a, b) in a.next.past.iter().zip(&b.next.past) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_last_step_is_the_predicted_image() {
        for b in [BFunction::H, BFunction::ExpM1] {
            let stages = unipc(&grid(), &UniPc { b, lower_order_final: false, ..UniPc::of_order(3) });
            assert_eq!(stages[5].next, Sum::of_held(0.0, &[1.0]));
            assert!(stages.iter().all(Stage::is_finite));
        }
    }
}
