//! Least squares for two laws, and how well a law describes points.
//!
//! Both weigh relative errors equally: the scatter of a timing is proportional to it, and a step of one second must not
//! hide one of ten milliseconds.

/// `y = c_0 x^p_0 + c_1 x^p_1 + ..`: a line for the powers 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sum {
    /// Coefficient and power of each term.
    pub(super) terms: Vec<(f64, i32)>,
}

/// `y = factor x^exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Power {
    pub(super) factor: f64,
    pub(super) exponent: f64,
}

/// How far points are from a law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quality {
    /// The share of the variance of y that the law explains; at most 1.
    pub(super) r_squared: f64,
    /// The largest `|law / y - 1|`.
    pub(super) worst: f64,
}

impl Sum {
    /// The sum of these powers with the least sum of `((law - y) / y)^2`; `None` if there are fewer distinct x than
    /// powers, or a value is not above 0.
    pub(super) fn fit(points: &[(f64, f64)], powers: &[i32]) -> Option<Self> {
        if !has_different_x(points, powers.len()) {
            return None;
        }
        // Scale each column by its largest value: x^2 beside 1 would lose half of the digits.
        let largest = points.iter().map(|point| point.0).fold(0.0, f64::max);
        let row = |&(x, y): &(f64, f64)| -> Vec<f64> {
            powers.iter().map(|&power| (x / largest).powi(power) / y).collect()
        };
        let rows: Vec<Vec<f64>> = points.iter().map(row).collect();
        // The normal equations of `sum_k c_k row_k = 1`, with the right side as the last column.
        let equation = |k: usize| -> Vec<f64> {
            let product = |of: &dyn Fn(&[f64]) -> f64| rows.iter().map(|row| row[k] * of(row)).sum::<f64>();
            let mut equation: Vec<f64> = (0..powers.len()).map(|j| product(&|row| row[j])).collect();
            equation.push(product(&|_| 1.0));
            equation
        };
        let scaled = solve((0..powers.len()).map(equation).collect())?;
        let terms = scaled.into_iter().zip(powers).map(|(c, &power)| (c / largest.powi(power), power));
        Some(Self { terms: terms.collect() })
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        self.terms.iter().map(|(c, power)| c * x.powi(*power)).sum()
    }
}

impl Power {
    /// The straight line through the logarithms; `None` for fewer than two distinct x, or a value that is not above 0.
    pub(super) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if !has_different_x(points, 2) {
            return None;
        }
        let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
        let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
        let above: f64 = logs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
        let exponent = above / logs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum::<f64>();
        Some(Self { factor: (y_mean - exponent * x_mean).exp(), exponent })
    }

    pub(super) fn at(self, x: f64) -> f64 {
        self.factor * x.powf(self.exponent)
    }
}

/// Whether all values are above 0 and there are at least this many distinct x.
fn has_different_x(points: &[(f64, f64)], least: usize) -> bool {
    let mut x: Vec<f64> = points.iter().map(|point| point.0).collect();
    x.sort_by(f64::total_cmp);
    x.dedup();
    let is_sound = |number: f64| number > 0.0 && number.is_finite();
    x.len() >= least && points.iter().all(|&(x, y)| is_sound(x) && is_sound(y))
}

/// Gaussian elimination with pivoting; each row ends with its right side. `None` if there is no unique solution.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        let top = rows[k].clone();
        if top[k] == 0.0 {
            return None;
        }
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != k) {
            let factor = row[k] / top[k];
            row.iter_mut().zip(&top).for_each(|(number, above)| *number -= factor * above);
        }
    }
    Some((0..n).map(|k| rows[k][n] / rows[k][k]).collect())
}

/// The quality of a law on points with y above 0.
pub(super) fn quality(points: &[(f64, f64)], law: impl Fn(f64) -> f64) -> Quality {
    let mean = points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64;
    let square = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(|p| of(p).powi(2)).sum::<f64>();
    let (left, all) = (square(&|&(x, y)| law(x) - y), square(&|&(_, y)| y - mean));
    let worst = points.iter().map(|&(x, y)| (law(x) / y - 1.0).abs()).fold(0.0, f64::max);
    Quality { r_squared: 1.0 - left / all, worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    const LINE: [i32; 2] = [0, 1];

    fn of(law: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        X.iter().map(|&x| (x, law(x))).collect()
    }

    /// Relative errors of up to 3 %, the same in every run, without a trend.
    fn noisy(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
        let off = [0.02, -0.03, 0.01, 0.03, -0.02, -0.02, 0.01];
        points.into_iter().zip(off).map(|((x, y), off)| (x, y * (1.0 + off))).collect()
    }

    fn coefficients(points: &[(f64, f64)], powers: &[i32]) -> Vec<f64> {
        Sum::fit(points, powers).unwrap().terms.iter().map(|term| term.0).collect()
    }

    fn are_close(got: &[f64], want: &[f64], tolerance: f64) -> bool {
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g / w - 1.0).abs() < tolerance)
    }

    #[test]
    fn exact_laws_are_found() {
        let laws: [(&[i32], &[f64]); 4] = [
            (&[0, 1], &[12.0, 5.5]),
            (&[0, 2], &[90.0, 0.125]),
            (&[1, 2], &[3.0, 0.5]),
            (&[0, 1, 2], &[100.0, 3.0, 0.02]),
        ];
        for (powers, want) in laws {
            let sum = Sum { terms: want.iter().copied().zip(powers.iter().copied()).collect() };
            let points = of(|x| sum.at(x));
            let got = coefficients(&points, powers);
            assert!(are_close(&got, want, 1e-9), "{got:?} are not {want:?}");
        }
        let power = Power::fit(&of(|x| 0.25 * x.powf(1.9))).unwrap();
        assert!((power.factor - 0.25).abs() < 1e-12 && (power.exponent - 1.9).abs() < 1e-12, "{power:?}");
        let quality = quality(&of(|x| 0.25 * x.powf(1.9)), |x| power.at(x));
        assert!(1.0 - quality.r_squared < 1e-12 && quality.worst < 1e-12, "{quality:?}");
    }

    #[test]
    fn noise_moves_a_law_as_little_as_itself() {
        let points = noisy(of(|x| 12.0 + 5.5 * x));
        let line = Sum::fit(&points, &LINE).unwrap();
        assert!(are_close(&[line.terms[0].0, line.terms[1].0], &[12.0, 5.5], 0.05), "{line:?}");
        let power = Power::fit(&noisy(of(|x| 3.0 * x.powi(2)))).unwrap();
        assert!((power.exponent - 2.0).abs() < 0.01 && (power.factor / 3.0 - 1.0).abs() < 0.03, "{power:?}");
        let quality = quality(&points, |x| line.at(x));
        assert!(quality.worst < 0.06 && quality.r_squared > 0.99 && quality.r_squared < 1.0, "{quality:?}");
    }

    /// A 3 % error in the largest step would move an unweighted intercept by more than the smallest step.
    #[test]
    fn small_values_count_as_much_as_large_ones() {
        let mut points = of(|x| 10.0 + 100.0 * x);
        points[6].1 *= 1.03;
        let line = Sum::fit(&points, &LINE).unwrap();
        assert!((line.at(1.0) / 110.0 - 1.0).abs() < 0.005, "{line:?}");
    }

    /// No other line or power is closer in its own norm.
    #[test]
    fn the_sum_of_squares_is_the_least() {
        let points = noisy(of(|x| 12.0 + 5.5 * x));
        let line = Sum::fit(&points, &LINE).unwrap();
        let miss = |sum: &Sum| points.iter().map(|&(x, y)| (sum.at(x) / y - 1.0).powi(2)).sum::<f64>();
        for (by, slope) in [(0.05, 0.0), (-0.05, 0.0), (0.0, 0.02), (0.0, -0.02)] {
            let mut other = line.clone();
            other.terms[0].0 += by;
            other.terms[1].0 += slope;
            assert!(miss(&other) > miss(&line), "{other:?}");
        }
        let power = Power::fit(&points).unwrap();
        let miss = |p: Power| points.iter().map(|&(x, y)| (p.at(x) / y).ln().powi(2)).sum::<f64>();
        for (times, exponent) in [(1.01, 0.0), (0.99, 0.0), (1.0, 0.01), (1.0, -0.01)] {
            let other = Power { factor: power.factor * times, exponent: power.exponent + exponent };
            assert!(miss(other) > miss(power), "{other:?}");
        }
    }

    #[test]
    fn what_has_no_law_has_none() {
        for points in [&[][..], &[(1.0, 2.0)], &[(1.0, 2.0), (1.0, 3.0)], &[(1.0, 2.0), (2.0, 0.0)]] {
            assert_eq!((Sum::fit(points, &LINE), Power::fit(points)), (None, None), "{points:?}");
        }
        assert_eq!(Sum::fit(&[(1.0, 2.0), (2.0, f64::NAN)], &LINE), None);
        assert_eq!(Sum::fit(&[(1.0, 2.0), (2.0, 3.0)], &[0, 1, 2]), None);
        assert_eq!(solve(vec![vec![1.0, 2.0, 3.0], vec![2.0, 4.0, 6.0]]), None);
    }
}
