//! The kernel distance (Binkowski et al. 2018, "KID" with features of InceptionV3): the squared maximum mean discrepancy by the
//! kernel `(x y / d + 1)^3`, without bias.

use ndarray::{Array2, Axis};
use random::{Purpose, Stream};

use crate::error::MetricsError;
use crate::linear;
use crate::moments::check_pair;

/// The mean over random subsets, and its spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelDistance {
    /// Mean; may be negative, since it has no bias.
    pub mean: f64,
    /// Standard deviation from subset to subset.
    pub deviation: f64,
}

/// The distance of rows `x` `[n, d]` and `y` `[m, d]`, by `subsets` pairs of `size` rows each, drawn by a seed without
/// repetition within a subset.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::Count`] for no subsets or a size that is not in
/// `2..=min(n, m)`.
pub fn kernel_distance(
    x: &Array2<f64>,
    y: &Array2<f64>,
    (subsets, size): (usize, usize),
    seed: u64,
) -> Result<KernelDistance, MetricsError> {
    check_pair(x, y)?;
    let most = x.nrows().min(y.nrows());
    if size < 2 || size > most {
        return Err(MetricsError::Count {
            name: "size of a subset",
            got: size,
            expected: format!("2 to {most}"),
        });
    }
    if subsets == 0 {
        return Err(MetricsError::Count { name: "subsets", got: 0, expected: "1 or more".to_owned() });
    }
    let values: Vec<f64> = (0..subsets as u64)
        .map(|subset| {
            let mut stream = Stream::new(seed, Purpose::Evaluate, subset, 0);
            let mut chosen = |rows: &Array2<f64>| {
                let order = stream.permutation(rows.nrows() as u32);
                let first: Vec<usize> = order[..size].iter().map(|&row| row as usize).collect();
                rows.select(Axis(0), &first)
            };
            discrepancy(&chosen(x), &chosen(y))
        })
        .collect();
    let mean = values.iter().sum::<f64>() / subsets as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / subsets as f64;
    Ok(KernelDistance { mean, deviation: variance.sqrt() })
}

/// The unbiased estimate of two sets (Gretton et al. 2012, Eq. 3).
fn discrepancy(x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let width = x.ncols() as f64;
    let kernel = |a: &Array2<f64>, b: &Array2<f64>| {
        linear::inner(a.view(), b.view()).mapv(|inner| (inner / width + 1.0).powi(3))
    };
    let within = |a: &Array2<f64>| {
        let (kernel, n) = (kernel(a, a), a.nrows() as f64);
        (kernel.sum() - kernel.diag().sum()) / (n * (n - 1.0))
    };
    within(x) + within(y) - 2.0 * kernel(x, y).sum() / (x.nrows() * y.nrows()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn two_rows_by_hand() {
        let (x, y) = (array![[1.0], [3.0]], array![[0.0], [2.0]]);
        // k = (x y + 1)^3: within x 64, within y 1; between 1, 27, 1, 343.
        let want = 64.0 + 1.0 - 2.0 * (1.0 + 27.0 + 1.0 + 343.0) / 4.0;
        assert!((discrepancy(&x, &y) - want).abs() < 1e-9);
        let got = kernel_distance(&x, &y, (3, 2), 1).unwrap();
        assert!((got.mean - want).abs() < 1e-9 && got.deviation < 1e-9);
    }

    #[test]
    fn equal_distributions_are_around_nothing_and_others_are_not() {
        let normals = |step| {
            let values = Stream::new(2, Purpose::Evaluate, step, 9).normals(2000 * 8);
            Array2::from_shape_vec((2000, 8), values.into_iter().map(f64::from).collect()).unwrap()
        };
        let same = kernel_distance(&normals(0), &normals(1), (20, 200), 5).unwrap();
        assert!(same.mean.abs() < 3.0 * same.deviation, "{same:?}");
        let moved = kernel_distance(&normals(0), &(normals(1) + 0.5), (20, 200), 5).unwrap();
        assert!(moved.mean > 5.0 * moved.deviation, "{moved:?}");
        assert_eq!(moved, kernel_distance(&normals(0), &(normals(1) + 0.5), (20, 200), 5).unwrap());
        for (subsets, size) in [(0, 2), (1, 1), (1, 2001)] {
            let wrong = kernel_distance(&normals(0), &normals(1), (subsets, size), 5);
            assert!(matches!(wrong, Err(MetricsError::Count { .. })));
        }
    }
}
