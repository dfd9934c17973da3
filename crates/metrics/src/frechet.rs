//! The Frechet distance of two Gaussians (Dowson & Landau 1982), of features as Heusel et al. 2017 use it ("FID", with those of
//! InceptionV3 alone): `|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`.

use crate::error::MetricsError;
use crate::linear;
use crate::moments::Moments;

/// The distance, 0 or more. Its expected value falls with the number of rows, so numbers of different counts do not compare.
///
/// The trace of the root is the sum of the roots of the eigenvalues of `L^T C_2 L` with `L L^T = C_1`, which is symmetric: no
/// complex numbers, and nothing is added to a singular covariance.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::TooFew`], [`MetricsError::Eigenvalues`].
pub fn frechet_distance(x: &Moments, y: &Moments) -> Result<f64, MetricsError> {
    if x.mean().len() != y.mean().len() {
        return Err(MetricsError::Width { left: x.mean().len(), right: y.mean().len() });
    }
    let (of_x, of_y) = (x.covariance()?, y.covariance()?);
    let apart: f64 = x.mean().iter().zip(y.mean()).map(|(a, b)| (a - b).powi(2)).sum();
    let factor = linear::cholesky(&of_x);
    let inside = factor.t().dot(&of_y).dot(&factor);
    let trace: f64 = linear::eigenvalues(&inside)?.into_iter().map(|value| value.max(0.0).sqrt()).sum();
    let distance = apart + of_x.diag().sum() + of_y.diag().sum() - 2.0 * trace;
    // Of equal sets, rounding may leave a little less than nothing.
    Ok(distance.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use random::{Purpose, Stream};

    fn normals(rows: usize, columns: usize, step: u64) -> Array2<f64> {
        let values = Stream::new(1, Purpose::Evaluate, step, 0).normals(rows * columns);
        Array2::from_shape_vec((rows, columns), values.into_iter().map(f64::from).collect()).unwrap()
    }

    /// Diagonal covariances commute: the sum of `(s_1 - s_2)^2`.
    #[test]
    fn of_separate_axes_it_is_the_sum_over_them() {
        let points = array![[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]];
        let x = Moments::of(&(&points * &array![2.0, 3.0])).unwrap();
        let y = Moments::of(&(&points * &array![5.0, 1.0] + &array![1.0, -2.0])).unwrap();
        // Each axis has variance 2/3 times its scale squared.
        let want = 1.0 + 4.0 + 2.0 / 3.0 * (9.0 + 4.0);
        assert!((frechet_distance(&x, &y).unwrap() - want).abs() < 1e-9);
    }

    /// A rotation of both changes nothing; of one set with itself nothing is left, also where there are fewer rows than
    /// numbers in them.
    #[test]
    fn it_does_not_depend_on_the_axes_and_vanishes_for_equal_sets() {
        let (x, y) = (normals(200, 6, 0), normals(200, 6, 1) * 1.5 + 0.3);
        let of = |x: &Array2<f64>, y: &Array2<f64>| {
            frechet_distance(&Moments::of(x).unwrap(), &Moments::of(y).unwrap()).unwrap()
        };
        let (cos, sin) = (0.6_f64, 0.8_f64);
        let mut turn = Array2::<f64>::eye(6);
        (turn[[0, 0]], turn[[0, 3]], turn[[3, 0]], turn[[3, 3]]) = (cos, -sin, sin, cos);
        assert!((of(&x, &y) - of(&x.dot(&turn), &y.dot(&turn))).abs() < 1e-9);
        assert!((of(&x, &y) - of(&y, &x)).abs() < 1e-9);
        let few = normals(4, 20, 2);
        assert!(of(&x, &x) < 1e-9 && of(&few, &few) < 1e-6, "{} {}", of(&x, &x), of(&few, &few));
    }
}
