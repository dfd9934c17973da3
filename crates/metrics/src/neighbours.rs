//! What share of the samples looks like the data, and what share of the data is covered: by balls around each row that reach
//! to its k-th neighbour (Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020).

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayBase, ArrayView2, Axis, Data, Ix2};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::feature::{Feature, blocks, wide};
use crate::linear;
use crate::moments::check_pair;

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

/// The four shares of data `[n, d]` and samples `[m, d]`, with balls to the `k`-th neighbour. A row on the edge of a
/// ball is outside.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::Count`] for a k that is not below both numbers of rows.
pub fn neighbours<S, T>(
    data: &ArrayBase<S, Ix2>,
    samples: &ArrayBase<T, Ix2>,
    k: usize,
) -> Result<Neighbours, MetricsError>
where
    S: Data,
    S::Elem: Feature,
    T: Data,
    T::Elem: Feature,
{
    check_pair(data.view(), samples.view())?;
    let most = data.nrows().min(samples.nrows());
    if k == 0 || k >= most {
        return Err(MetricsError::Count {
            name: "k",
            got: k,
            expected: format!("1 to {}", most.saturating_sub(1)),
        });
    }
    let (data, samples) = (Rows::of(data.view()), Rows::of(samples.view()));
    let (of_data, of_samples) = (radii(&data, k), radii(&samples, k));
    let pairs: Vec<_> =
        data.blocks().flat_map(|rows| samples.blocks().map(move |others| (rows.clone(), others))).collect();
    let found = pairs.par_iter().map(|(rows, others)| {
        let distances = distances((&data, rows), (&samples, others));
        Found::of(&distances, &of_data[rows.clone()], &of_samples[others.clone()])
    });
    let mut whole = Found::new(data.count(), samples.count());
    for (found, (rows, others)) in found.collect::<Vec<_>>().into_iter().zip(&pairs) {
        whole.add(found, rows, others);
    }
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let covered = whole.nearest.iter().zip(&of_data).filter(|(nearest, radius)| nearest < radius).count();
    Ok(Neighbours {
        precision: share(whole.balls.iter().filter(|&&balls| balls > 0).count(), samples.count()),
        recall: share(whole.within.iter().filter(|&&within| within).count(), data.count()),
        density: share(whole.balls.iter().sum(), k * samples.count()),
        coverage: share(covered, data.count()),
    })
}

/// The relations between some data and some samples. Those of other pairs of the same rows can be added in any order.
struct Found {
    /// Balls of the data that each sample lies in.
    balls: Vec<usize>,
    /// Whether each row of the data lies in a ball of the samples.
    within: Vec<bool>,
    /// The squared distance of each row of the data to its nearest sample.
    nearest: Vec<f64>,
}

impl Found {
    fn new(data: usize, samples: usize) -> Self {
        Self { balls: vec![0; samples], within: vec![false; data], nearest: vec![f64::INFINITY; data] }
    }

    /// From the squared distances of data `[n, m]` to samples, and the squared radii of their balls.
    fn of(distances: &Array2<f64>, of_data: &[f64], of_samples: &[f64]) -> Self {
        let mut found = Self::new(of_data.len(), of_samples.len());
        for (row, (distances, radius)) in distances.outer_iter().zip(of_data).enumerate() {
            for (sample, (distance, of_sample)) in distances.iter().zip(of_samples).enumerate() {
                found.balls[sample] += usize::from(distance < radius);
                found.within[row] |= distance < of_sample;
                found.nearest[row] = found.nearest[row].min(*distance);
            }
        }
        found
    }

    fn add(&mut self, part: Self, rows: &Range<usize>, samples: &Range<usize>) {
        self.balls[samples.clone()].iter_mut().zip(part.balls).for_each(|(balls, more)| *balls += more);
        self.within[rows.clone()].iter_mut().zip(part.within).for_each(|(within, more)| *within |= more);
        let nearest = self.nearest[rows.clone()].iter_mut().zip(part.nearest);
        nearest.for_each(|(nearest, more)| *nearest = nearest.min(more));
    }
}

/// Rows and their squares.
pub(crate) struct Rows<'a, A> {
    rows: ArrayView2<'a, A>,
    squares: Vec<f64>,
}

impl<'a, A: Feature> Rows<'a, A> {
    pub(crate) fn of(rows: ArrayView2<'a, A>) -> Self {
        let square = |row: ndarray::ArrayView1<'_, A>| row.iter().map(|&x| x.into().powi(2)).sum();
        Self { squares: rows.outer_iter().map(square).collect(), rows }
    }

    pub(crate) fn count(&self) -> usize {
        self.squares.len()
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<A> {
        blocks(self.squares.len()).into_iter()
    }
}

/// The squared distances of some rows to some others.
pub(crate) fn distances<A: Feature, B: Feature>(
    (x, rows): (&Rows<'_, A>, &Range<usize>),
    (y, others): (&Rows<'_, B>, &Range<usize>),
) -> Array2<f64> {
    let (of_x, of_y) = (&x.squares[rows.clone()], &y.squares[others.clone()]);
    let mut distances = linear::inner(wide(x.rows, rows.clone()).view(), wide(y.rows, others.clone()).view());
    for (mut row, of_x) in distances.outer_iter_mut().zip(of_x) {
        row.iter_mut().zip(of_y).for_each(|(inner, of_y)| *inner = (of_x + of_y - 2.0 * *inner).max(0.0));
    }
    distances
}

/// The squared distance of each row to its k-th neighbour. The distances between two blocks serve the rows of both.
/// Each row keeps its k smallest so far, whatever the order.
fn radii<A: Feature>(rows: &Rows<'_, A>, k: usize) -> Vec<f64> {
    let least: Vec<Mutex<Array2<f64>>> =
        rows.blocks().map(|block| Mutex::new(Array2::from_elem((block.len(), k), f64::INFINITY))).collect();
    let ranges: Vec<_> = rows.blocks().collect();
    let count = ranges.len();
    let pairs: Vec<_> =
        (0..count).flat_map(|first| (first..count).map(move |second| (first, second))).collect();
    pairs.par_iter().for_each(|&(first, second)| {
        let mut distances = distances((rows, &ranges[first]), (rows, &ranges[second]));
        if first == second {
            // A row is not its own neighbour.
            distances.diag_mut().fill(f64::INFINITY);
        } else {
            keep(&least[second], distances.t());
        }
        keep(&least[first], distances.view());
    });
    let last = |least: Mutex<Array2<f64>>| {
        let least = least.into_inner().unwrap_or_else(PoisonError::into_inner);
        least.column(k - 1).to_vec()
    };
    least.into_iter().flat_map(last).collect()
}

/// Keeps the least distances of each row, sorted.
fn keep(least: &Mutex<Array2<f64>>, distances: ArrayView2<'_, f64>) {
    let mut least = least.lock().unwrap_or_else(PoisonError::into_inner);
    for (mut least, distances) in least.axis_iter_mut(Axis(0)).zip(distances.outer_iter()) {
        let Some(least) = least.as_slice_mut() else { continue };
        let last = least.len() - 1;
        for &distance in distances {
            if distance < least[last] {
                let place = least.partition_point(|&kept| kept <= distance);
                least[place..].rotate_right(1);
                least[place] = distance;
            }
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
    /// More rows than a block, one set in f32, against every distance sorted.
    #[test]
    fn blocks_leave_out_no_pair() {
        let features = |rows: usize, phase: f64| {
            Array2::from_shape_fn((rows, 3), |(i, j)| {
                f64::from(((i * 7 + j * 3) as f64 * 0.31 + (i * i) as f64 * 0.01 + phase).sin() as f32)
            })
        };
        let (data, samples) = (features(2 * crate::feature::BLOCK + 9, 0.0), features(700, 0.3) * 1.25);
        let distance = |a: ndarray::ArrayView1<'_, f64>, b: ndarray::ArrayView1<'_, f64>| {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
        };
        let k = 4;
        let radii = |rows: &Array2<f64>| -> Vec<f64> {
            let radius = |row: ndarray::ArrayView1<'_, f64>| {
                let mut all: Vec<f64> = rows.outer_iter().map(|other| distance(row, other)).collect();
                all.sort_by(f64::total_cmp);
                all[k]
            };
            rows.outer_iter().map(radius).collect()
        };
        let (of_data, of_samples) = (radii(&data), radii(&samples));
        let inside = |i: usize, j: usize, radius: f64| distance(data.row(i), samples.row(j)) < radius;
        let (n, m) = (data.nrows(), samples.nrows());
        let balls = |j: usize| (0..n).filter(|&i| inside(i, j, of_data[i])).count();
        let want = Neighbours {
            precision: (0..m).filter(|&j| balls(j) > 0).count() as f64 / m as f64,
            recall: (0..n).filter(|&i| (0..m).any(|j| inside(i, j, of_samples[j]))).count() as f64 / n as f64,
            density: (0..m).map(balls).sum::<usize>() as f64 / (k * m) as f64,
            coverage: (0..n).filter(|&i| (0..m).any(|j| inside(i, j, of_data[i]))).count() as f64 / n as f64,
        };
        let got = neighbours(&data.mapv(|x| x as f32), &samples, k).unwrap();
        assert_eq!(got, want);
        assert!(want.precision < 1.0 && want.recall < 1.0 && want.coverage < 1.0, "{want:?}");
    }
}
