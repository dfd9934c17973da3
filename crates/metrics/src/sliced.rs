//! The sliced Wasserstein distance (Rabin et al. 2011): along random lines, sorted projections are paired.

use ndarray::{Array2, ArrayBase, ArrayView1, ArrayView2, Axis, Data, Ix2};
use random::{Purpose, Stream};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::feature::{Feature, blocks, wide};
use crate::linear;
use crate::moments::check_pair;

/// Lines processed at a time.
const LINES: usize = 64;

/// The root of the mean squared distance of order 2 over `lines` random directions, for sets of any two sizes.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`], [`MetricsError::TooFew`]; [`MetricsError::Count`] for no lines.
pub fn sliced_wasserstein<S, T>(
    x: &ArrayBase<S, Ix2>,
    y: &ArrayBase<T, Ix2>,
    lines: usize,
    seed: u64,
) -> Result<f64, MetricsError>
where
    S: Data,
    S::Elem: Feature,
    T: Data,
    T::Elem: Feature,
{
    let (x, y) = (x.view(), y.view());
    check_pair(x, y)?;
    let got = x.nrows().min(y.nrows());
    if got == 0 {
        return Err(MetricsError::TooFew { what: "a distance", got, least: 1 });
    }
    if lines == 0 {
        return Err(MetricsError::Count { name: "lines", got: 0, expected: "1 or more".to_owned() });
    }
    let normals = Stream::new(seed, Purpose::Evaluate, 0, 1).normals(lines * x.ncols());
    let mut directions =
        Array2::from_shape_fn((lines, x.ncols()), |(i, j)| f64::from(normals[i * x.ncols() + j]));
    for mut direction in directions.outer_iter_mut() {
        let length = direction.dot(&direction).sqrt();
        direction.mapv_inplace(|value| value / length);
    }
    let parts: Vec<_> = directions.axis_chunks_iter(Axis(0), LINES).collect();
    let along = parts.into_par_iter().map(|part| {
        let (x, y) = (projections(part, x), projections(part, y));
        x.outer_iter().zip(y.outer_iter()).map(|(x, y)| line(sorted(x), sorted(y))).sum::<f64>()
    });
    Ok((along.collect::<Vec<_>>().iter().sum::<f64>() / lines as f64).sqrt())
}

/// `[lines, n]`.
fn projections<A: Feature>(directions: ArrayView2<'_, f64>, rows: ArrayView2<'_, A>) -> Array2<f64> {
    let mut along = Array2::zeros((directions.nrows(), rows.nrows()));
    for block in blocks(rows.nrows()) {
        let part = linear::inner(directions, wide(rows, block.clone()).view());
        along.slice_axis_mut(Axis(1), block.into()).assign(&part);
    }
    along
}

fn sorted(values: ArrayView1<'_, f64>) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The squared distance of two sorted lists on a line: mass moves in order.
fn line(x: Vec<f64>, y: Vec<f64>) -> f64 {
    let (n, m) = (x.len(), y.len());
    let (mut i, mut j, mut sum, mut done) = (0, 0, 0.0, 0.0);
    while i < n && j < m {
        // Up to the point where one of the two has moved all its mass.
        let (end_x, end_y) = ((i + 1) as f64 / n as f64, (j + 1) as f64 / m as f64);
        let end = end_x.min(end_y);
        sum += (end - done) * (x[i] - y[j]).powi(2);
        done = end;
        i += usize::from(end_x <= end_y);
        j += usize::from(end_y <= end_x);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn on_a_line_mass_moves_in_order() {
        assert_eq!(line(vec![0.0, 1.0], vec![2.0, 3.0]), 4.0);
        // Half of the mass of each of two goes to one of four.
        assert!((line(vec![0.0, 4.0], vec![0.0, 0.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((line(vec![1.0], vec![0.0, 2.0, 4.0]) - (1.0 + 1.0 + 9.0) / 3.0).abs() < 1e-12);
    }

    /// A shift by v moves each line by the projection of v: `|v|^2 / d` on average.
    #[test]
    fn a_shift_has_its_own_length() {
        let x = Array2::from_shape_fn((40, 4), |(i, j)| ((i * 5 + j * 3) as f64).cos());
        let moved = &x + &array![2.0, 0.0, 0.0, 0.0];
        let got = sliced_wasserstein(&x, &moved, 4000, 3).unwrap();
        assert!((got - 1.0).abs() < 0.03, "{got}");
        assert!(sliced_wasserstein(&x, &x, 50, 3).unwrap() < 1e-9);
        assert!(sliced_wasserstein(&x, &x, 0, 3).is_err());
    }
}
