//! What is large: products of matrices, by ndarray, and eigenvalues of symmetric ones, by nalgebra.

use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView2};

use crate::error::MetricsError;

/// Pivots below this part of the largest variance count as 0: the covariance is singular there.
const SINGULAR: f64 = 1e-13;

/// `x y^T`, `[rows of x, rows of y]`.
pub(crate) fn inner(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Array2<f64> {
    x.dot(&y.t())
}

/// L with `L L^T = x`, for a symmetric x without negative eigenvalues. The largest variance that is left comes next, which is
/// what keeps a singular x from making much of its rounding; a column is 0 where nothing is left.
pub(crate) fn cholesky(x: &Array2<f64>) -> Array2<f64> {
    let size = x.nrows();
    let mut left = x.diag().to_owned();
    let least = SINGULAR * left.iter().fold(0.0, |most: f64, &value| most.max(value));
    let mut factor = Array2::<f64>::zeros((size, size));
    for column in 0..size {
        let Some(pivot) = (0..size).max_by(|&a, &b| left[a].total_cmp(&left[b])) else { break };
        if left[pivot] <= least {
            break;
        }
        let (own, root) = (factor.row(pivot).to_owned(), left[pivot].sqrt());
        for row in 0..size {
            let value = (x[[row, pivot]] - factor.row(row).dot(&own)) / root;
            factor[[row, column]] = value;
            left[row] -= value * value;
        }
        // It is done, whatever rounding left of it.
        left[pivot] = f64::NEG_INFINITY;
    }
    factor
}

/// The eigenvalues of a symmetric matrix.
pub(crate) fn eigenvalues(x: &Array2<f64>) -> Result<Vec<f64>, MetricsError> {
    let matrix = DMatrix::from_fn(x.nrows(), x.ncols(), |i, j| x[[i, j]]);
    let values: Vec<f64> = matrix.symmetric_eigenvalues().iter().copied().collect();
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(MetricsError::Eigenvalues) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_to_the_whole_where_it_is_singular_too() {
        for rows in [12, 3] {
            let features = Array2::from_shape_fn((rows, 6), |(i, j)| ((i * 5 + j * 3) as f64).sin());
            let whole = features.t().dot(&features);
            let factor = cholesky(&whole);
            assert!((&factor.dot(&factor.t()) - &whole).iter().all(|gap| gap.abs() < 1e-9), "{rows} rows");
        }
    }
}
