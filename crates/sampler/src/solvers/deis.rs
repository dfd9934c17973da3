//! DEIS (Zhang & Chen 2023, "Fast Sampling of Diffusion Models with Exponential Integrator"), multistep. In
//! `x^ = x / alpha` and `rho = sigma / alpha` the flow is `dx^ = eps drho`. eps is replaced by the polynomial in
//! `ln rho` through its last values, integrated exactly. The paper's polynomials are in t or in rho; `ln rho` is a
//! later form, which diffusers uses as well.

use crate::grid::Grid;
use crate::solvers::{multistep_order, out_of_nothing};
use crate::stage::{Memory, Stage, Sum};

/// Settings of DEIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deis {
    /// 1 to 3: how many values of eps the polynomial goes through; 1 is DDIM.
    pub order: usize,
    /// In chains of fewer than 15 steps, take the last two steps at order 2 and 1.
    pub lower_order_final: bool,
}

/// The steps on a grid. The step to the data itself is first order, which gives `x_0`.
#[must_use]
pub fn deis(grid: &Grid, settings: &Deis) -> Vec<Stage> {
    let first = out_of_nothing(grid);
    let begin = usize::from(first.is_some());
    let rest = (begin..grid.steps()).map(|i| {
        let (from, to) = (grid.level(i), grid.level(i + 1));
        let order = multistep_order(grid, i, i + 1 - begin, settings.order, settings.lower_order_final);
        let nodes: Vec<f64> = (0..order).map(|k| grid.level(i - k).ratio().ln()).collect();
        let past: Vec<f64> = integrals(&nodes, from.ratio(), to.ratio()).map(|w| to.alpha * w).collect();
        Stage { memory: Memory::Eps, ..Stage::new(from, Sum::of_x(to.alpha / from.alpha, &past)) }
    });
    first.into_iter().chain(rest).collect()
}

/// `int_from^to l_k(ln rho) drho` of each Lagrange polynomial `l_k` through the nodes.
fn integrals(nodes: &[f64], from: f64, to: f64) -> impl Iterator<Item = f64> {
    // Around the first node, so that neighbouring logarithms do not cancel.
    let centre = nodes[0];
    nodes.iter().enumerate().map(move |(k, node)| {
        // The polynomial's coefficients, constant first.
        let mut coefficients = vec![1.0];
        for (j, other) in nodes.iter().enumerate() {
            if j != k {
                let (zero, scale) = (other - centre, 1.0 / (node - other));
                let mut product = vec![0.0; coefficients.len() + 1];
                for (n, c) in coefficients.iter().enumerate() {
                    product[n] -= c * zero * scale;
                    product[n + 1] += c * scale;
                }
                coefficients = product;
            }
        }
        coefficients
            .iter()
            .enumerate()
            .map(|(n, c)| c * (power(n, to, centre) - power(n, from, centre)))
            .sum()
    })
}

/// The antiderivative of `(ln rho - centre)^n`: `rho L^n - n` times that of n - 1; 0 at rho = 0.
fn power(n: usize, rho: f64, centre: f64) -> f64 {
    if rho == 0.0 {
        return 0.0;
    }
    let log = rho.ln() - centre;
    (1..=n).fold(rho, |below, k| rho * log.powi(k as i32) - k as f64 * below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::ddim;
    use crate::stage::transfer_eps;
    use schedule::{Level, Schedule};

    fn grid() -> Grid {
        Grid::at_times(&Schedule::ddpm(), &[900.0, 850.0, 720.0, 640.0, 600.0], Level::DATA).unwrap()
    }

    #[test]
    fn first_order_is_ddim() {
        let settings = Deis { order: 1, lower_order_final: true };
        for (i, (stage, ddim)) in deis(&grid(), &settings).iter().zip(ddim(&grid(), 0.0)).enumerate() {
            let (from, to) = (grid().level(i), grid().level(i + 1));
            let (x, eps) = transfer_eps(from, to);
            assert!((stage.next.x - x).abs() < 1e-12 && (stage.next.past[0] - eps).abs() < 1e-12);
            // With eps = (x - alpha x_0) / sigma.
            let of_x = stage.next.x + stage.next.past[0] / from.sigma;
            let of_x_0 = -stage.next.past[0] * from.alpha / from.sigma;
            assert!((of_x - ddim.next.x).abs() < 1e-9 && (of_x_0 - ddim.next.past[0]).abs() < 1e-9);
        }
    }

    /// Exact for polynomials in ln rho, against Simpson's rule.
    #[test]
    fn polynomials_are_integrated_exactly() {
        let nodes = [1.3_f64, 1.7, 2.9];
        let (from, to) = (nodes[0].exp(), 1.1_f64.exp());
        let weights: Vec<f64> = integrals(&nodes, from, to).collect();
        for degree in 0..3 {
            let got: f64 = weights.iter().zip(nodes).map(|(w, node)| w * node.powi(degree)).sum();
            let n = 2000;
            let f = |j: i32| (from + (to - from) * f64::from(j) / f64::from(n)).ln().powi(degree);
            let inner: f64 = (1..n).map(|j| f(j) * if j % 2 == 1 { 4.0 } else { 2.0 }).sum();
            let want = (f(0) + inner + f(n)) * (to - from) / f64::from(3 * n);
            assert!((got - want).abs() < 1e-10, "degree {degree}: {got} is not {want}");
        }
    }

    #[test]
    fn orders_rise_and_fall() {
        let orders: Vec<usize> = deis(&grid(), &Deis { order: 3, lower_order_final: true })
            .iter()
            .map(|stage| stage.next.past.len())
            .collect();
        assert_eq!(orders, [1, 2, 3, 2, 1]);
    }
}
