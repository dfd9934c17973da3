//! What share of the samples looks like the data, and what share of the data is covered: by balls around each row that reach
//! to its k-th neighbour (Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020).

use ndarray::{Array2, ArrayView2, Axis};

use crate::error::MetricsError;
use crate::linear;
use crate::moments::check_pair;

/// Rows that are compared at a time, so that memory grows with one set alone.
const BLOCK: usize = 1024;

/// The four shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbours {
    /// Samples within some ball of the data.
    pub precision: f64,
    /// Data within some ball of the samples.
    pub recall: f64,
    /// Balls of the data that a sample lies in, divided by k: above 1 where samples crowd.
    pub density: f64,
    /// Data whose own ball holds a sample.
    pub coverage: f64,
}

/// Of data `[n, d]` and samples `[m, d]`, with balls to the `k`-th neighbour.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::Count`] for a k that is not below both numbers of rows.
pub fn neighbours(data: &Array2<f64>, samples: &Array2<f64>, k: usize) -> Result<Neighbours, MetricsError> {
    check_pair(data, samples)?;
    let most = data.nrows().min(samples.nrows());
    if k == 0 || k >= most {
        return Err(MetricsError::Count {
            name: "k",
            got: k,
            expected: format!("1 to {}", most.saturating_sub(1)),
        });
    }
    let (of_data, of_samples) = (radii(data, k), radii(samples, k));
    let mut within_data = vec![0_usize; samples.nrows()];
    let mut within_samples = vec![false; data.nrows()];
    let mut nearest = vec![f64::INFINITY; data.nrows()];
    blocks(data, samples, |row, distances| {
        for (sample, &distance) in distances.iter().enumerate() {
            within_data[sample] += usize::from(distance < of_data[row]);
            within_samples[row] |= distance < of_samples[sample];
            nearest[row] = nearest[row].min(distance);
        }
    });
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let covered = nearest.iter().zip(&of_data).filter(|(nearest, radius)| nearest < radius).count();
    Ok(Neighbours {
        precision: share(within_data.iter().filter(|&&balls| balls > 0).count(), samples.nrows()),
        recall: share(within_samples.iter().filter(|&&within| within).count(), data.nrows()),
        density: share(within_data.iter().sum(), k * samples.nrows()),
        coverage: share(covered, data.nrows()),
    })
}

/// The squared distance of each row to its k-th neighbour.
fn radii(rows: &Array2<f64>, k: usize) -> Vec<f64> {
    let mut radii = Vec::with_capacity(rows.nrows());
    blocks(rows, rows, |_, distances| {
        let mut sorted = distances.to_vec();
        // The row itself comes first.
        let (_, radius, _) = sorted.select_nth_unstable_by(k, f64::total_cmp);
        radii.push(*radius);
    });
    radii
}

/// Calls `each` with a row's number and its squared distances to all of `others`.
pub(crate) fn blocks(rows: &Array2<f64>, others: &Array2<f64>, mut each: impl FnMut(usize, &[f64])) {
    let squares =
        |rows: ArrayView2<'_, f64>| -> Vec<f64> { rows.outer_iter().map(|row| row.dot(&row)).collect() };
    let of_others = squares(others.view());
    for first in (0..rows.nrows()).step_by(BLOCK) {
        let block = rows.slice_axis(Axis(0), (first..(first + BLOCK).min(rows.nrows())).into());
        let inner = linear::inner(block, others.view());
        for ((index, row), square) in inner.outer_iter().enumerate().zip(squares(block)) {
            let distance = |(inner, other): (&f64, &f64)| (square + other - 2.0 * inner).max(0.0);
            let distances: Vec<f64> = row.iter().zip(&of_others).map(distance).collect();
            each(first + index, &distances);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// On a line, k = 1: balls of the data reach 1, those of the samples 1 or 8.
    #[test]
    fn a_line_by_hand() {
        let data = array![[0.0], [1.0], [2.0], [3.0]];
        let samples = array![[0.5], [1.5], [9.5]];
        let got = neighbours(&data, &samples, 1).unwrap();
        assert!((got.precision - 2.0 / 3.0).abs() < 1e-12);
        // Balls around 0.5 and 1.5 reach 1, that around 9.5 reaches 8: all four data.
        assert_eq!(got.recall, 1.0);
        // 0.5 lies in the balls of 0 and 1, 1.5 in those of 1 and 2.
        assert!((got.density - 4.0 / 3.0).abs() < 1e-12);
        assert!((got.coverage - 3.0 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_set_covers_itself_and_nothing_far_away() {
        let data = Array2::from_shape_fn((50, 3), |(i, j)| ((i * 7 + j * 13) as f64).sin());
        let itself = neighbours(&data, &data, 5).unwrap();
        assert_eq!((itself.precision, itself.recall, itself.coverage), (1.0, 1.0, 1.0));
        let far = neighbours(&data, &(&data + 100.0), 5).unwrap();
        assert_eq!((far.precision, far.recall, far.density, far.coverage), (0.0, 0.0, 0.0, 0.0));
        assert!(neighbours(&data, &data, 50).is_err() && neighbours(&data, &data, 0).is_err());
    }
}
