//! Finds the combination of stored power averages that is nearest to another average: least squares over the contributions of
//! the steps (Karras et al. 2024, Sec. 3.2 and App. C.2, where time is continuous).

use config::TrainConfig;

use crate::averages::profile::{Profile, exponent};

/// A stored average: its relative width, and the step at which it was stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    /// `sigma_rel` of the power average.
    pub sigma_rel: f64,
    /// Steps done, at least 1.
    pub step: u64,
}

/// A combination of the stored averages.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// One weight per stored average.
    pub weights: Vec<f64>,
    /// Error of the combination: the L2 norm of the difference in the contributions of the steps, relative to the norm of the
    /// wanted contributions.
    pub error: f64,
}

/// Ridge added to the diagonal, relative to it. Averages stored close together are nearly equal, and large weights of
/// opposite sign would amplify their rounding errors.
const RIDGE: f64 = 1e-9;

/// The combination of stored averages that is nearest to `wanted` after `steps` steps. Averages stored later are not used.
#[must_use]
pub fn combine(stored: &[Stored], wanted: Profile, config: &TrainConfig, steps: u64) -> Combination {
    let powers: Vec<f64> = stored.iter().map(|average| exponent(average.sigma_rel)).collect();
    let target = wanted.response(config, steps);
    let used: Vec<usize> = (0..stored.len()).filter(|&k| (1..=steps).contains(&stored[k].step)).collect();
    let gram: Vec<Vec<f64>> = used
        .iter()
        .map(|&a| {
            let of = |&b: &usize| product((powers[a], stored[a].step), (powers[b], stored[b].step));
            used.iter().map(of).collect()
        })
        .collect();
    let right: Vec<f64> = used.iter().map(|&k| with_target(powers[k], stored[k].step, &target)).collect();
    let solved = solve_to_one(&gram, &right);

    let norm: f64 = target.iter().map(|w| w * w).sum();
    let mut square = norm;
    for (k, x) in solved.iter().enumerate() {
        let fitted: f64 = solved.iter().zip(&gram[k]).map(|(y, product)| y * product).sum();
        square += x * (fitted - 2.0 * right[k]);
    }
    let mut weights = vec![0.0; stored.len()];
    for (&k, x) in used.iter().zip(solved) {
        weights[k] = x;
    }
    Combination { weights, error: (square.max(0.0) / norm.max(f64::MIN_POSITIVE)).sqrt() }
}

/// The contribution of step `i`, from 1, to a power average after `n` steps: `(i^p - (i - 1)^p) / n^p`.
fn share(i: u64, power: f64, n: u64) -> f64 {
    let (i, n) = (i as f64, n as f64);
    // The difference, computed without cancellation.
    let ratio = (i / n).powf(power);
    -ratio * (power * (-1.0 / i).ln_1p()).exp_m1()
}

/// The inner product of two averages: the sum over steps of their contributions.
fn product((a, n): (f64, u64), (b, m): (f64, u64)) -> f64 {
    let ((a, n), (b, m)) = if n <= m { ((a, n), (b, m)) } else { ((b, m), (a, n)) };
    // Only steps up to n are shared. The later average has reduced their contribution by the steps in between.
    let forgotten = (n as f64 / m as f64).powf(b);
    (1..=n).map(|i| share(i, a, n) * share(i, b, n)).sum::<f64>() * forgotten
}

fn with_target(power: f64, n: u64, target: &[f64]) -> f64 {
    (1..=n).zip(target).map(|(i, w)| share(i, power, n) * w).sum()
}

/// Least squares with weights that sum to 1, as in an average: weights that never change are reproduced exactly, whatever
/// the fit. Uses a Lagrange multiplier for that constraint.
fn solve_to_one(gram: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = right.len();
    if size == 0 {
        return Vec::new();
    }
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (k, row) in gram.iter().enumerate() {
        let mut row = row.clone();
        row[k] *= 1.0 + RIDGE;
        row.extend([1.0, right[k]]);
        rows.push(row);
    }
    let mut condition = vec![1.0; size];
    condition.extend([0.0, 1.0]);
    rows.push(condition);
    let mut solved = solve(rows);
    solved.truncate(size);
    solved
}

/// Gaussian elimination with pivoting; each row ends with its right-hand side.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let size = rows.len();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
            .unwrap_or(column);
        rows.swap(column, pivot);
        let pivot_row = rows[column].clone();
        for row in &mut rows[column + 1..] {
            let factor = row[column] / pivot_row[column];
            row.iter_mut().zip(&pivot_row).skip(column).for_each(|(a, b)| *a -= factor * b);
        }
    }
    let mut x = vec![0.0; size];
    for k in (0..size).rev() {
        let rest: f64 = (k + 1..size).map(|j| rows[k][j] * x[j]).sum();
        x[k] = (rows[k][size] - rest) / rows[k][k];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    fn stored(every: u64, steps: u64) -> Vec<Stored> {
        let at = |step| [0.05, 0.1].map(|sigma_rel| Stored { sigma_rel, step });
        (1..=steps / every).flat_map(|k| at(k * every)).collect()
    }

    #[test]
    fn shares_are_those_of_the_recurrence() {
        let config = example();
        for sigma_rel in [0.02, 0.1] {
            let response = Profile::SigmaRel(sigma_rel).response(&config, 300);
            for i in [1_u64, 2, 150, 300] {
                let got = share(i, exponent(sigma_rel), 300);
                assert!((got - response[i as usize - 1]).abs() < 1e-12, "{i}: {got}");
            }
        }
    }

    #[test]
    fn a_stored_average_is_found_again() {
        let all = stored(100, 1000);
        let found = combine(&all, Profile::SigmaRel(0.1), &example(), 1000);
        assert!(found.error < 1e-3, "{}", found.error);
        assert!((found.weights[all.len() - 1] - 1.0).abs() < 1e-2, "{:?}", found.weights);
        // Later averages are not used.
        let found = combine(&all, Profile::SigmaRel(0.05), &example(), 500);
        assert!(found.weights[10..].iter().all(|&w| w == 0.0) && found.error < 1e-3);
    }

    #[test]
    fn averages_that_were_not_stored_are_approximated() {
        let config = example();
        for (wanted, worst) in
            [(Profile::SigmaRel(0.15), 2e-2), (Profile::SigmaRel(0.07), 2e-2), (Profile::Decay(0.99), 3e-2)]
        {
            let few = combine(&stored(200, 2000), wanted, &config, 2000).error;
            let many = combine(&stored(50, 2000), wanted, &config, 2000).error;
            assert!(many < worst && many <= few + 1e-9, "{wanted}: {few} {many}");
        }
        assert!(combine(&[], Profile::Decay(0.9), &config, 10).error > 0.99);
    }

    /// Weights that never change are their own average, however poor the fit.
    #[test]
    fn a_combination_is_an_average() {
        let one = [Stored { sigma_rel: 0.1, step: 60 }];
        for stored in [&one[..], &stored(20, 60)] {
            for wanted in
                [Profile::SigmaRel(0.28), Profile::SigmaRel(0.01), Profile::Decay(0.0), Profile::Decay(0.9)]
            {
                let sum: f64 = combine(stored, wanted, &example(), 60).weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-9, "{wanted}: {sum}");
            }
        }
    }
}
