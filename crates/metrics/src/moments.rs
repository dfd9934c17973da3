//! Mean and covariance of features, gathered part by part: memory does not grow with the number of images.

use ndarray::{Array1, Array2, ArrayBase, ArrayView2, Axis, Data, Ix2};

use crate::error::MetricsError;
use crate::feature::{Feature, wide};
use crate::linear;

/// Rows converted to f64 at a time.
const PART: usize = 1024;

/// Sums over the rows seen so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    count: usize,
    mean: Array1<f64>,
    /// `sum (x - mean) (x - mean)^T`.
    scatter: Array2<f64>,
}

impl Moments {
    /// Starts with no rows, for rows of `width` numbers.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { count: 0, mean: Array1::zeros(width), scatter: Array2::zeros((width, width)) }
    }

    /// The moments of rows `[n, width]`.
    ///
    /// # Errors
    /// [`MetricsError::NonFinite`].
    pub fn of<S>(rows: &ArrayBase<S, Ix2>) -> Result<Self, MetricsError>
    where
        S: Data,
        S::Elem: Feature,
    {
        let mut moments = Self::new(rows.ncols());
        moments.push(rows)?;
        Ok(moments)
    }

    /// Adds rows `[n, width]`.
    ///
    /// # Errors
    /// [`MetricsError::Width`], [`MetricsError::NonFinite`]; nothing is added then.
    pub fn push<S>(&mut self, rows: &ArrayBase<S, Ix2>) -> Result<(), MetricsError>
    where
        S: Data,
        S::Elem: Feature,
    {
        self.check_width(rows.ncols())?;
        check_finite(rows.view())?;
        for first in (0..rows.nrows()).step_by(PART) {
            let part = wide(rows.view(), first..(first + PART).min(rows.nrows()));
            let mean = part.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.ncols()));
            let scatter = linear::gram((&part - &mean).view());
            self.merge(&Self { count: part.nrows(), mean, scatter })?;
        }
        Ok(())
    }

    /// Adds the rows of another (Chan et al. 1979), so that parts of a set can be gathered separately.
    ///
    /// # Errors
    /// [`MetricsError::Width`].
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        self.check_width(other.mean.len())?;
        let (here, there) = (self.count as f64, other.count as f64);
        let total = here + there;
        if other.count == 0 {
            return Ok(());
        }
        let apart = &other.mean - &self.mean;
        let weight = here * there / total;
        for ((i, j), scatter) in self.scatter.indexed_iter_mut() {
            *scatter += other.scatter[[i, j]] + weight * apart[i] * apart[j];
        }
        self.mean.scaled_add(there / total, &apart);
        self.count += other.count;
        Ok(())
    }

    /// Rows seen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The mean of the rows, `[width]`.
    #[must_use]
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The unbiased covariance, `[width, width]`.
    ///
    /// # Errors
    /// [`MetricsError::TooFew`] for fewer than two rows.
    pub fn covariance(&self) -> Result<Array2<f64>, MetricsError> {
        if self.count < 2 {
            return Err(MetricsError::TooFew { what: "a covariance", got: self.count, least: 2 });
        }
        Ok(&self.scatter / (self.count - 1) as f64)
    }

    fn check_width(&self, right: usize) -> Result<(), MetricsError> {
        let left = self.mean.len();
        if left == right { Ok(()) } else { Err(MetricsError::Width { left, right }) }
    }
}

/// Refuses the first row with a number that is not finite.
pub(crate) fn check_finite<A: Feature>(rows: ArrayView2<'_, A>) -> Result<(), MetricsError> {
    match rows.outer_iter().position(|row| row.iter().any(|&x| !x.into().is_finite())) {
        Some(row) => Err(MetricsError::NonFinite { row }),
        None => Ok(()),
    }
}

/// Checks two sets of rows against each other.
pub(crate) fn check_pair<A: Feature, B: Feature>(
    x: ArrayView2<'_, A>,
    y: ArrayView2<'_, B>,
) -> Result<(), MetricsError> {
    if x.ncols() != y.ncols() {
        return Err(MetricsError::Width { left: x.ncols(), right: y.ncols() });
    }
    check_finite(x)?;
    check_finite(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn wrong_rows_are_refused_and_change_nothing() {
        let mut moments = Moments::of(&array![[1.0, 2.0]]).unwrap();
        let before = moments.clone();
        assert_eq!(moments.push(&array![[1.0]]), Err(MetricsError::Width { left: 2, right: 1 }));
        assert_eq!(
            moments.push(&array![[1.0, 0.0], [f64::NAN, 1.0]]),
            Err(MetricsError::NonFinite { row: 1 })
        );
        assert_eq!(moments, before);
        assert!(matches!(moments.covariance(), Err(MetricsError::TooFew { got: 1, .. })));
    }

    /// Rows of f32, in several parts, give the same as in f64.
    #[test]
    fn rows_of_f32_are_summed_in_f64() {
        let narrow = Array2::from_shape_fn((2 * PART + 100, 3), |(i, j)| ((i * 3 + j) as f32).sin() + 1000.0);
        let wide = narrow.mapv(f64::from);
        let (got, want) = (Moments::of(&narrow.view()).unwrap(), Moments::of(&wide).unwrap());
        assert_eq!(got, want);
        let mean = wide.column(1).sum() / wide.nrows() as f64;
        let variance =
            wide.column(1).iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (wide.nrows() - 1) as f64;
        assert!((got.covariance().unwrap()[[1, 1]] / variance - 1.0).abs() < 1e-9);
        assert!((got.mean()[1] - mean).abs() < 1e-9);
    }

    proptest! {
        /// However rows are divided into parts, mean and covariance are those of the whole, even far from 0.
        #[test]
        fn parts_are_the_whole(values in prop::collection::vec(-3.0_f64..3.0, 30), cut in 0_usize..=10, far in -1e6_f64..1e6) {
            let rows = Array2::from_shape_vec((10, 3), values).unwrap() + far;
            let mut parts = Moments::new(3);
            parts.push(&rows.slice_axis(Axis(0), (0..cut).into()).to_owned()).unwrap();
            parts.merge(&Moments::of(&rows.slice_axis(Axis(0), (cut..10).into()).to_owned()).unwrap()).unwrap();
            let whole = Moments::of(&rows).unwrap();
            let covariance = parts.covariance().unwrap();
            for i in 0..3 {
                let mean = rows.column(i).sum() / 10.0;
                prop_assert!((parts.mean()[i] - mean).abs() < 1e-9 * (1.0 + far.abs()));
                for j in 0..3 {
                    let other = rows.column(j).sum() / 10.0;
                    let want: f64 = (0..10).map(|k| (rows[[k, i]] - mean) * (rows[[k, j]] - other)).sum::<f64>() / 9.0;
                    prop_assert!((covariance[[i, j]] - want).abs() < 1e-6);
                    prop_assert!((covariance[[i, j]] - whole.covariance().unwrap()[[i, j]]).abs() < 1e-6);
                }
            }
        }
    }
}
