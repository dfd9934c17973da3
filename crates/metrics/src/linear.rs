//! Matrix products, by ndarray, and factors of covariances.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::feature::blocks;

/// Pivots below this part of the largest variance count as 0: the covariance is singular there.
const SINGULAR: f64 = 1e-13;

/// The least rows per thread: with fewer, handing the work over takes longer than doing it.
pub(crate) const AT_LEAST: usize = 64;

/// `x y^T`, `[rows of x, rows of y]`.
pub(crate) fn inner(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Array2<f64> {
    x.dot(&y.t())
}

/// `x y`, blocks of rows in parallel.
pub(crate) fn product(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut whole = Array2::zeros((x.nrows(), y.ncols()));
    let parts: Vec<_> = whole.axis_chunks_iter_mut(Axis(0), crate::feature::BLOCK).collect();
    parts.into_par_iter().zip(blocks(x.nrows())).for_each(|(mut part, rows)| {
        part.assign(&x.slice_axis(Axis(0), rows.into()).dot(&y));
    });
    whole
}

/// `x^T x`, each half once.
pub(crate) fn gram(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let size = x.ncols();
    let tiles: Vec<_> = blocks(size)
        .into_iter()
        .flat_map(|rows| blocks(size).into_iter().map(move |columns| (rows.clone(), columns)))
        .filter(|(rows, columns)| rows.start <= columns.start)
        .collect();
    let columns = |which: &Range<usize>| x.slice_axis(Axis(1), which.clone().into());
    let products: Vec<Array2<f64>> =
        tiles.par_iter().map(|(one, other)| columns(one).t().dot(&columns(other))).collect();
    let mut whole = Array2::zeros((size, size));
    for ((one, other), product) in tiles.into_iter().zip(products) {
        let mut rows = whole.slice_axis_mut(Axis(0), other.clone().into());
        rows.slice_axis_mut(Axis(1), one.clone().into()).assign(&product.t());
        let mut rows = whole.slice_axis_mut(Axis(0), one.into());
        rows.slice_axis_mut(Axis(1), other.into()).assign(&product);
    }
    whole
}

/// The sum of products, in a fixed order that processors can vectorise.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x_eights, y_eights) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = x_eights.remainder().iter().zip(y_eights.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in x_eights.zip(y_eights) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// L with `L L^T = x` and as many columns as the rank of x, for a symmetric x without negative eigenvalues. The
/// largest remaining variance is the next pivot, which keeps the rounding errors of a singular x small.
pub(crate) fn cholesky(x: &Array2<f64>) -> Array2<f64> {
    let size = x.nrows();
    let mut left = x.diag().to_vec();
    let least = SINGULAR * left.iter().fold(0.0, |most: f64, &value| most.max(value));
    // The factor, row by row.
    let mut factor = vec![0.0; size * size];
    let mut rank = 0;
    while rank < size {
        let Some(pivot) = (0..size).max_by(|&a, &b| left[a].total_cmp(&left[b])) else { break };
        if left[pivot] <= least {
            break;
        }
        let (own, root) = (factor[pivot * size..][..rank].to_vec(), left[pivot].sqrt());
        let column = x.row(pivot);
        let rows = factor.par_chunks_mut(size).zip(&mut left).enumerate().with_min_len(AT_LEAST);
        rows.for_each(|(row, (factor, left))| {
            let value = (column[row] - dot(&factor[..rank], &own)) / root;
            factor[rank] = value;
            *left -= value * value;
        });
        // This pivot is done, whatever rounding left of it.
        left[pivot] = f64::NEG_INFINITY;
        rank += 1;
    }
    Array2::from_shape_fn((size, rank), |(i, j)| factor[i * size + j])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| {
            ((i * 5 + j * 3) as f64 + (i * j) as f64 * 0.37).sin()
        })
    }

    #[test]
    fn factors_multiply_to_the_whole_where_it_is_singular_too() {
        for (rows, rank) in [(12, 6), (3, 3)] {
            let features = waves(rows, 6);
            let whole = features.t().dot(&features);
            let factor = cholesky(&whole);
            assert_eq!(factor.dim(), (6, rank), "{rows} rows");
            assert!((&factor.dot(&factor.t()) - &whole).iter().all(|gap| gap.abs() < 1e-9), "{rows} rows");
        }
        assert_eq!(cholesky(&Array2::zeros((4, 4))).dim(), (4, 0));
    }

    /// Sizes that leave blocks and eights unfilled.
    #[test]
    fn products_in_blocks_are_the_plain_ones() {
        let x = waves(7, crate::feature::BLOCK + 11);
        let far =
            |a: &Array2<f64>, b: &Array2<f64>| (a - b).iter().fold(0.0, |most: f64, gap| most.max(gap.abs()));
        assert!(far(&gram(x.view()), &x.t().dot(&x)) < 1e-12);
        let y = waves(x.ncols(), 5);
        assert!(far(&product(x.view(), y.view()), &x.dot(&y)) < 1e-12);
        let tall = x.t().to_owned();
        assert!(far(&product(tall.view(), x.view()), &tall.dot(&x)) < 1e-12);
        for length in [0, 5, 8, 29] {
            let (a, b) = (waves(1, length), waves(1, length) + 0.5);
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(a.as_slice().unwrap(), b.as_slice().unwrap()) - plain).abs() < 1e-12);
        }
    }
}
