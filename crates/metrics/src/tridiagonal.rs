//! Symmetric matrices as `Q T Q^T` with a tridiagonal T, by Householder's reflections, and the eigenvalues of T (Golub & Van
//! Loan, Matrix Computations, Sec. 8.3).
//!
//! Eigenvectors are never needed, and would take four times as long as everything else. T is needed for its
//! eigenvalues, and for `u^T T^(-1/2) u` of many u.

use std::f64::consts::PI;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::linear::{AT_LEAST, dot};

/// The most steps for one eigenvalue; two or three are usual.
const MOST_STEPS: usize = 80;

/// Rows transformed at a time, so that a reflection is loaded once for all of them.
const TURNED: usize = 16;

/// `Q T Q^T`.
pub(crate) struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The elements beside the diagonal.
    beside: Vec<f64>,
    /// Reflection k is `1 - scales[k] v v^T` with v in row k, from column k + 1 on.
    reflections: Array2<f64>,
    scales: Vec<f64>,
}

impl Tridiagonal {
    /// Decomposes a symmetric matrix; both halves are read.
    pub(crate) fn of(mut x: Array2<f64>) -> Self {
        let size = x.nrows();
        let (mut diagonal, mut beside, mut scales) = (vec![0.0; size], Vec::new(), Vec::new());
        // The last reflection's pending update of the remaining rows: `v w^T + w v^T`.
        let (mut v, mut w) = (vec![0.0; size], vec![0.0; size]);
        for k in 0..size {
            let (mut head, mut left) = x.view_mut().split_at(Axis(0), k + 1);
            let mut row = head.row_mut(k);
            for (j, value) in row.iter_mut().enumerate().skip(k) {
                *value -= v[0] * w[j - k] + w[0] * v[j - k];
            }
            diagonal[k] = row[k];
            if k + 1 == size {
                break;
            }
            let tail: Vec<f64> = row.iter().skip(k + 1).copied().collect();
            let (next, scale, kept) = reflection(tail);
            row.iter_mut().skip(k + 1).zip(&next).for_each(|(value, of_next)| *value = *of_next);
            // One pass over the remaining rows applies the last reflection and computes the product with the next
            // one's v.
            let mut rows: Vec<_> = left.axis_iter_mut(Axis(0)).collect();
            let mut product: Vec<f64> = rows
                .par_iter_mut()
                .with_min_len(AT_LEAST)
                .enumerate()
                .map(|(i, row)| {
                    let (own_v, own_w) = (v[i + 1], w[i + 1]);
                    let Some(row) = row.as_slice_mut().map(|row| &mut row[k + 1..]) else { return 0.0 };
                    row.iter_mut().zip(v[1..].iter().zip(&w[1..])).for_each(|(value, (v, w))| {
                        *value -= own_v * w + own_w * v;
                    });
                    scale * dot(row, &next)
                })
                .collect();
            let half = scale / 2.0 * dot(&product, &next);
            product.iter_mut().zip(&next).for_each(|(value, of_next)| *value -= half * of_next);
            (v, w) = (next, product);
            beside.push(kept);
            scales.push(scale);
        }
        Self { diagonal, beside, reflections: x, scales }
    }

    /// The eigenvalues, in no order, by the implicit symmetric QR step with Wilkinson's shift (Sec. 8.3.3 to 8.3.5).
    pub(crate) fn eigenvalues(&self) -> Result<Vec<f64>, MetricsError> {
        let (mut d, mut e) = (self.diagonal.clone(), self.beside.clone());
        let mut end = d.len();
        let mut steps = 0;
        while end > 1 {
            let negligible = |i: usize| e[i].abs() <= f64::EPSILON * (d[i].abs() + d[i + 1].abs());
            if negligible(end - 2) {
                end -= 1;
                steps = 0;
                continue;
            }
            let begin = (0..end - 2).rev().find(|&i| negligible(i)).map_or(0, |i| i + 1);
            steps += 1;
            // NaN is never negligible.
            if steps > MOST_STEPS {
                return Err(MetricsError::Eigenvalues);
            }
            qr_step(&mut d[begin..end], &mut e[begin..end - 1]);
        }
        if d.iter().all(|value| value.is_finite()) { Ok(d) } else { Err(MetricsError::Eigenvalues) }
    }

    /// Transforms rows x to `x Q`.
    pub(crate) fn turn(&self, rows: &mut Array2<f64>) {
        let mut parts: Vec<_> = rows.axis_chunks_iter_mut(Axis(0), TURNED).collect();
        parts.par_iter_mut().for_each(|part| {
            for (k, scale) in self.scales.iter().enumerate() {
                let row = self.reflections.row(k);
                let Some(v) = row.to_slice().map(|row| &row[k + 1..]) else { return };
                for mut own in part.outer_iter_mut() {
                    let Some(own) = own.as_slice_mut().map(|row| &mut row[k + 1..]) else { return };
                    let by = scale * dot(own, v);
                    own.iter_mut().zip(v).for_each(|(own, v)| *own -= by * v);
                }
            }
        });
    }

    /// `u^T T^(-1/2) u` of each row u, for a T without negative eigenvalues, with a relative error of about 1e-5.
    /// Directions with eigenvalues below 1e-10 of the largest count less than they should.
    ///
    /// `x^(-1/2) = 2 / pi int_0^inf ds / (s^2 + x)`, and with `s = e^r` even steps in r are enough: the integrand is
    /// smooth and falls off on both sides. Each point takes one tridiagonal system per row.
    pub(crate) fn inverse_root_forms(&self, rows: &Array2<f64>, largest: f64) -> Vec<f64> {
        const STEP: f64 = 0.7;
        // Beyond the eigenvalues on either side, e^-11 is 2e-5 of the whole.
        const BEYOND: f64 = 11.0;
        if largest <= 0.0 {
            return vec![0.0; rows.nrows()];
        }
        let (low, high) = (0.5 * (1e-10 * largest).ln() - BEYOND, 0.5 * largest.ln() + BEYOND);
        let points = ((high - low) / STEP).ceil() as usize;
        let systems: Vec<(f64, System)> = (0..=points)
            .map(|point| {
                let s = (low + STEP * point as f64).exp();
                (2.0 * STEP / PI * s, System::of(self, s * s, f64::EPSILON * largest))
            })
            .collect();
        let rows: Vec<_> = rows.outer_iter().collect();
        let form = |u: &ndarray::ArrayView1<'_, f64>| {
            systems.iter().map(|(weight, system)| weight * system.form(u)).sum()
        };
        rows.par_iter().map(form).collect()
    }
}

/// `T + shift` as `L D L^T`, which needs no pivoting for a positive matrix.
struct System {
    /// Of L, below the diagonal.
    below: Vec<f64>,
    /// `1 / D`.
    inverses: Vec<f64>,
}

impl System {
    /// A pivot that rounding takes below `least` is set to `least`.
    fn of(whole: &Tridiagonal, shift: f64, least: f64) -> Self {
        let (mut below, mut inverses) = (Vec::new(), Vec::new());
        let mut taken = 0.0;
        for (i, value) in whole.diagonal.iter().enumerate() {
            let inverse = 1.0 / (value + shift - taken).max(least);
            inverses.push(inverse);
            if let Some(beside) = whole.beside.get(i) {
                below.push(beside * inverse);
                taken = beside * beside * inverse;
            }
        }
        Self { below, inverses }
    }

    /// `u^T (T + shift)^-1 u`.
    fn form(&self, u: &ndarray::ArrayView1<'_, f64>) -> f64 {
        let (mut sum, mut solved) = (0.0, 0.0);
        let below = std::iter::once(&0.0).chain(&self.below);
        for ((u, below), inverse) in u.iter().zip(below).zip(&self.inverses) {
            solved = u - below * solved;
            sum += solved * solved * inverse;
        }
        sum
    }
}

/// v, its scale, and the first element after all others have become 0.
fn reflection(mut x: Vec<f64>) -> (Vec<f64>, f64, f64) {
    let first = x[0];
    if x[1..].iter().all(|&value| value == 0.0) {
        x.fill(0.0);
        return (x, 0.0, first);
    }
    // The squares of very small or large values would leave the range.
    let most = x.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    x.iter_mut().for_each(|value| *value /= most);
    let length = dot(&x, &x).sqrt();
    // With the opposite sign, so that nothing cancels.
    let kept = if first > 0.0 { -length } else { length };
    x[0] -= kept;
    let scale = 2.0 / dot(&x, &x);
    (x, scale, kept * most)
}

/// One QR step on a tridiagonal matrix with no 0 beside the diagonal. Two rows at a time are rotated: the first pair
/// by the shift, each next one to move the element that the last one created further down.
fn qr_step(d: &mut [f64], e: &mut [f64]) {
    let last = d.len() - 1;
    // The eigenvalue of the last two rows that is nearer to the last element.
    let (half, off) = ((d[last - 1] - d[last]) / 2.0, e[last - 1]);
    let root = half.hypot(off);
    let shift = d[last] - off * (off / (half + if half < 0.0 { -root } else { root }));
    let (mut x, mut z) = (d[0] - shift, e[0]);
    for k in 0..last {
        let length = x.hypot(z);
        let (cos, sin) = if length == 0.0 { (1.0, 0.0) } else { (x / length, z / length) };
        if k > 0 {
            e[k - 1] = length;
        }
        let (a, b, c) = (d[k], e[k], d[k + 1]);
        let mixed = cos * (cos * a + sin * b) + sin * (cos * b + sin * c);
        (d[k], d[k + 1], e[k]) =
            (mixed, a + c - mixed, cos * (cos * b + sin * c) - sin * (cos * a + sin * b));
        if k + 1 < last {
            (x, z) = (e[k], sin * e[k + 1]);
            e[k + 1] *= cos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(size: usize) -> Array2<f64> {
        let x = Array2::from_shape_fn((size, size), |(i, j)| {
            ((i * 7 + j * 3) as f64 + (i * j) as f64 * 0.61).sin()
        });
        &x + &x.t()
    }

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    fn furthest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        (a - b).iter().fold(0.0, |most, gap| most.max(gap.abs()))
    }

    #[test]
    fn the_three_factors_are_the_whole() {
        for size in [1, 2, 3, 10, 67] {
            let x = symmetric(size);
            let whole = Tridiagonal::of(x.clone());
            let mut q = Array2::eye(size);
            whole.turn(&mut q);
            assert!(furthest(&q.dot(&q.t()), &Array2::eye(size)) < 1e-13);
            let mut t = Array2::from_diag(&ndarray::Array1::from(whole.diagonal.clone()));
            for (i, beside) in whole.beside.iter().enumerate() {
                (t[[i, i + 1]], t[[i + 1, i]]) = (*beside, *beside);
            }
            assert!(furthest(&q.dot(&t).dot(&q.t()), &x) < 1e-12, "size {size}");
        }
    }

    /// The second difference, of which eigenvalue k is `2 - 2 cos(pi k / (n + 1))`, as it is and turned; and projections, whose
    /// eigenvalues are 0 and 1 many times over.
    #[test]
    fn eigenvalues_known_in_closed_form() {
        let size = 90;
        let mut chain = Array2::<f64>::eye(size) * 2.0;
        for i in 1..size {
            (chain[[i, i - 1]], chain[[i - 1, i]]) = (-1.0, -1.0);
        }
        let want: Vec<f64> =
            (1..=size).map(|k| 2.0 - 2.0 * (PI * k as f64 / (size + 1) as f64).cos()).collect();
        let mut turned = chain.clone();
        let some = Tridiagonal::of(symmetric(size));
        some.turn(&mut turned);
        turned = turned.reversed_axes().as_standard_layout().to_owned();
        some.turn(&mut turned);
        for x in [chain, turned] {
            let got = sorted(Tridiagonal::of(x).eigenvalues().unwrap());
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-13), "{got:?}");
        }
        let u = Array2::from_shape_fn((size, 1), |(i, _)| (i as f64 + 1.0).recip());
        let outside = Array2::<f64>::eye(size) - u.dot(&u.t()) / u.iter().map(|u| u * u).sum::<f64>();
        let got = sorted(Tridiagonal::of(outside).eigenvalues().unwrap());
        assert!(got[0].abs() < 1e-14 && got[1..].iter().all(|value| (value - 1.0).abs() < 1e-13));
        assert_eq!(Tridiagonal::of(Array2::zeros((5, 5))).eigenvalues().unwrap(), [0.0; 5]);
    }

    #[test]
    fn nan_has_no_eigenvalues() {
        let mut x = symmetric(6);
        (x[[1, 2]], x[[2, 1]]) = (f64::NAN, f64::NAN);
        assert_eq!(Tridiagonal::of(x).eigenvalues(), Err(MetricsError::Eigenvalues));
    }

    /// For a diagonal matrix it is a sum; rotated, it is the same for rotated rows. Eigenvalues span eight orders of
    /// magnitude.
    #[test]
    fn inverse_roots_are_those_of_the_eigenvalues() {
        let size = 41;
        let of = |i: usize| 10.0_f64.powf(3.0 - 8.0 * i as f64 / 40.0);
        let some = Tridiagonal::of(symmetric(size));
        let mut q = Array2::eye(size);
        some.turn(&mut q);
        let scaled = Array2::from_shape_fn((size, size), |(i, j)| q[[i, j]] * of(j));
        let whole = Tridiagonal::of(scaled.dot(&q.t()));
        let parts = Array2::from_shape_fn((5, size), |(i, j)| ((i * 3 + j) as f64).sin() * of(j).sqrt());
        let want: Vec<f64> = parts
            .outer_iter()
            .map(|row| row.iter().enumerate().map(|(j, u)| u * u / of(j).sqrt()).sum())
            .collect();
        let mut rows = parts.dot(&q.t());
        whole.turn(&mut rows);
        let got = whole.inverse_root_forms(&rows, of(0));
        for (got, want) in got.iter().zip(want) {
            assert!((got / want - 1.0).abs() < 1e-4, "{got} {want}");
        }
    }
}
