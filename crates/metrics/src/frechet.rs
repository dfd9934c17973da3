//! The Frechet distance of two Gaussians (Dowson & Landau 1982), for features as in Heusel et al. 2017 (called "FID"
//! only with those of InceptionV3): `|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`.

use ndarray::{Array2, ArrayBase, Data, Ix2};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::feature::{Feature, blocks, wide};
use crate::interval::{Interval, NORMAL};
use crate::linear::{self, product};
use crate::moments::Moments;
use crate::tridiagonal::Tridiagonal;

/// The distance, 0 or more. Its expected value falls with the number of rows, so distances of different counts are
/// not comparable.
///
/// The trace of the root is the sum of the roots of the eigenvalues of `L^T C_1 L` with `L L^T = C_2`. That matrix is
/// symmetric, so no complex numbers arise. Nothing is added to a singular covariance, which fewer rows than columns
/// give. L has as many columns as the rank of `C_2`, the set with the lower rank.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::TooFew`], [`MetricsError::Eigenvalues`].
pub fn frechet_distance(x: &Moments, y: &Moments) -> Result<f64, MetricsError> {
    // A bound on the rank: with more rows than columns it may be full.
    let rank = |moments: &Moments| moments.count().min(moments.mean().len() + 1);
    let (x, y) = if rank(x) < rank(y) { (y, x) } else { (x, y) };
    Ok(Parts::of(x, y)?.distance())
}

/// The distance of the Gaussian of `samples` `[n, d]` from that of a reference, and a 95 % interval over the draw of
/// the samples: where the distance of n other samples from the same source would lie. The reference is fixed.
///
/// By the delta method (van der Vaart 1998, Ch. 20): to first order a sample x moves the distance by
/// `2 (m_1 - m_2) (x - m_1) + (x - m_1)^T (1 - T) (x - m_1) - tr(C_1 (1 - T))` over n, where
/// `T = L (L^T C_1 L)^(-1/2) L^T` takes the first Gaussian to the second (`L L^T = C_2`), and the standard error is the
/// deviation of that divided by the root of n.
///
/// The interval does not cover three things. One is the bias, by which the distance of n samples exceeds that of
/// infinitely many; with wide features it is far larger than the interval. Another is how the reference was drawn.
/// The third is what is beyond first order, which dominates where both sets come from one distribution and the first
/// order vanishes.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`], [`MetricsError::Eigenvalues`]; [`MetricsError::TooFew`] for
/// d samples or fewer, and [`MetricsError::Flat`] for samples that do not vary where the reference does, because
/// their covariance has no such derivative.
pub fn frechet_interval<S>(samples: &ArrayBase<S, Ix2>, reference: &Moments) -> Result<Interval, MetricsError>
where
    S: Data,
    S::Elem: Feature,
{
    let samples = samples.view();
    let (count, width) = samples.dim();
    if count <= width {
        let what = "the interval of a Frechet distance";
        return Err(MetricsError::TooFew { what, got: count, least: width + 1 });
    }
    let x = Moments::of(&samples)?;
    let parts = Parts::of(&x, reference)?;
    let toward: Vec<f64> = x.mean().iter().zip(reference.mean()).map(|(a, b)| a - b).collect();
    let mut factor = parts.factor;
    parts.inside.turn(&mut factor);
    let largest = parts.values.iter().fold(0.0, |most: f64, &value| most.max(value));
    let pivots: Vec<f64> = parts.pivots.iter().map(|pivot| pivot * pivot).collect();
    if flat(&parts.values) > flat(&pivots) {
        return Err(MetricsError::Flat);
    }
    let effects = |rows: std::ops::Range<usize>| -> Vec<f64> {
        let centred = wide(samples, rows) - x.mean();
        let mapped = parts.inside.inverse_root_forms(&centred.dot(&factor), largest);
        let effect = |(row, mapped): (ndarray::ArrayView1<'_, f64>, f64)| {
            let linear: f64 = row.iter().zip(&toward).map(|(x, toward)| x * toward).sum();
            2.0 * linear + row.dot(&row) - mapped
        };
        centred.outer_iter().zip(mapped).map(effect).collect()
    };
    let effects: Vec<f64> = blocks(count).into_par_iter().flat_map_iter(effects).collect();
    let mean = effects.iter().sum::<f64>() / count as f64;
    let variance = effects.iter().map(|effect| (effect - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    let half = NORMAL * (variance / count as f64).sqrt();
    let value = parts.apart + parts.traces - 2.0 * roots(&parts.values);
    let value = value.max(0.0);
    Ok(Interval { value, low: (value - half).max(0.0), high: value + half })
}

/// How many values are 0 up to rounding, compared with the largest.
fn flat(values: &[f64]) -> usize {
    let largest = values.iter().fold(0.0, |most: f64, &value| most.max(value));
    values.iter().filter(|&&value| value <= 16.0 * f64::EPSILON * largest).count()
}

/// The parts of a distance.
struct Parts {
    /// The diagonal of L.
    pivots: Vec<f64>,
    /// `|m_1 - m_2|^2`.
    apart: f64,
    /// `tr(C_1 + C_2)`.
    traces: f64,
    /// L with `L L^T = C_2`.
    factor: Array2<f64>,
    /// `L^T C_1 L`.
    inside: Tridiagonal,
    /// Its eigenvalues.
    values: Vec<f64>,
}

impl Parts {
    fn of(x: &Moments, y: &Moments) -> Result<Self, MetricsError> {
        if x.mean().len() != y.mean().len() {
            return Err(MetricsError::Width { left: x.mean().len(), right: y.mean().len() });
        }
        let (of_x, of_y) = (x.covariance()?, y.covariance()?);
        let apart = x.mean().iter().zip(y.mean()).map(|(a, b)| (a - b).powi(2)).sum();
        let traces = of_x.diag().sum() + of_y.diag().sum();
        let factor = linear::cholesky(&of_y);
        let pivots = factor.diag().to_vec();
        let inside = Tridiagonal::of(product(factor.t(), product(of_x.view(), factor.view()).view()));
        Ok(Self { pivots, apart, traces, factor, values: inside.eigenvalues()?, inside })
    }

    fn distance(&self) -> f64 {
        // For equal sets rounding can give slightly less than 0.
        (self.apart + self.traces - 2.0 * roots(&self.values)).max(0.0)
    }
}

/// The trace of the root.
fn roots(values: &[f64]) -> f64 {
    values.iter().map(|value| value.max(0.0).sqrt()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;
    use ndarray::{Axis, array};
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

    /// Rotating both sets changes nothing. The distance of a set from itself is 0, even with fewer rows than columns.
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
        assert!(of(&x, &x) < 1e-9 && of(&few, &few) < 1e-9, "{} {}", of(&x, &x), of(&few, &few));
    }

    /// Features that do not vary at all: the distance of two points.
    #[test]
    fn without_any_variance_it_is_that_of_the_means() {
        let at = |value: f64| Moments::of(&Array2::from_elem((5, 3), value)).unwrap();
        assert_eq!(frechet_distance(&at(1.0), &at(3.0)).unwrap(), 12.0);
        let spread = Moments::of(&normals(50, 3, 3)).unwrap();
        let alone = spread.covariance().unwrap().diag().sum();
        let apart: f64 = spread.mean().iter().map(|mean| (mean - 1.0).powi(2)).sum();
        for got in [frechet_distance(&at(1.0), &spread), frechet_distance(&spread, &at(1.0))] {
            assert!((got.unwrap() - alone - apart).abs() < 1e-12);
        }
    }

    /// In one dimension it is `(m_1 - m_2)^2 + (s_1 - s_2)^2`, whose derivative by a sample can be written down.
    #[test]
    fn on_a_line_the_interval_is_that_of_the_formula() {
        let samples = normals(400, 1, 4) * 1.4 + 0.2;
        let reference = Moments::of(&(normals(300, 1, 5) * 0.8 - 0.1)).unwrap();
        let x = Moments::of(&samples).unwrap();
        let (m_1, m_2) = (x.mean()[0], reference.mean()[0]);
        let ratio = (reference.covariance().unwrap()[[0, 0]] / x.covariance().unwrap()[[0, 0]]).sqrt();
        let effects: Vec<f64> = samples
            .iter()
            .map(|x| 2.0 * (m_1 - m_2) * (x - m_1) + (1.0 - ratio) * (x - m_1).powi(2))
            .collect();
        let mean = effects.iter().sum::<f64>() / 400.0;
        let variance = effects.iter().map(|effect| (effect - mean).powi(2)).sum::<f64>() / 399.0;
        let got = frechet_interval(&samples, &reference).unwrap();
        let want = NORMAL * (variance / 400.0).sqrt();
        assert!(((got.high - got.low) / 2.0 / want - 1.0).abs() < 1e-4, "{got:?} {want}");
        assert_eq!(got.value, frechet_distance(&x, &reference).unwrap());
    }

    /// Resamples spread as the interval says; their centre is elsewhere because of the bias.
    #[test]
    fn it_is_as_wide_as_the_bootstrap_says() {
        let mix = Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 1.0 } else { 0.3 / (i + j) as f64 });
        let samples = normals(600, 5, 6).dot(&mix) * &array![1.5, 1.0, 0.7, 1.1, 0.4] + 0.4;
        let reference = Moments::of(&normals(2000, 5, 7)).unwrap();
        let got = frechet_interval(&samples, &reference).unwrap();
        let resampled = bootstrap(600, 400, 3, |rows| {
            frechet_distance(&Moments::of(&samples.select(Axis(0), rows))?, &reference)
        });
        let resampled = resampled.unwrap();
        let ratio = (got.high - got.low) / (resampled.high - resampled.low);
        assert!((ratio - 1.0).abs() < 0.15, "{got:?} {resampled:?}");
    }

    /// Of 300 draws, 95 in 100 have an interval with the mean of all, within four standard errors.
    #[test]
    fn ninety_five_draws_of_a_hundred_hold_the_mean() {
        let reference = Moments::of(&normals(4000, 4, 8)).unwrap();
        let draws: Vec<Interval> = (0..300)
            .map(|draw| {
                let samples = normals(250, 4, 100 + draw) * &array![1.6, 1.2, 0.6, 1.0] + 0.3;
                frechet_interval(&samples, &reference).unwrap()
            })
            .collect();
        let mean = draws.iter().map(|draw| draw.value).sum::<f64>() / 300.0;
        let held = draws.iter().filter(|draw| draw.low <= mean && mean <= draw.high).count();
        assert!((270..=298).contains(&held), "{held} of 300");
    }

    /// The same column twice, with a reference that varies in each.
    #[test]
    fn samples_that_do_not_vary_have_no_interval() {
        let once = normals(600, 4, 3);
        let twice = ndarray::concatenate(Axis(1), &[once.view(), once.view()]).unwrap();
        let reference = Moments::of(&normals(700, 8, 4)).unwrap();
        assert!(matches!(frechet_interval(&twice, &reference), Err(MetricsError::Flat)));
        // Directions in which neither set varies do not matter.
        let padded = |rows: Array2<f64>| {
            ndarray::concatenate(Axis(1), &[rows.view(), Array2::zeros((rows.nrows(), 1)).view()]).unwrap()
        };
        let reference = Moments::of(&padded(normals(700, 4, 4))).unwrap();
        let got = frechet_interval(&padded(once), &reference).unwrap();
        assert!(got.high < 2.0 * got.value.max(0.1), "{got:?}");
    }

    #[test]
    fn too_few_samples_have_no_interval() {
        let reference = Moments::of(&normals(50, 8, 9)).unwrap();
        let got = frechet_interval(&normals(8, 8, 10), &reference);
        assert!(matches!(got, Err(MetricsError::TooFew { got: 8, least: 9, .. })), "{got:?}");
        assert!(frechet_interval(&normals(9, 8, 10), &reference).is_ok());
        assert!(matches!(
            frechet_interval(&normals(50, 7, 9), &reference),
            Err(MetricsError::Width { left: 7, right: 8 })
        ));
    }
}
