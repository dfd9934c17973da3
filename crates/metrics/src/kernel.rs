//! The kernel distance (Binkowski et al. 2018, "KID" with features of InceptionV3): the unbiased squared maximum mean
//! discrepancy with the kernel `(x y / d + 1)^3`.

use ndarray::{Array1, Array2, ArrayBase, ArrayView2, Axis, Data, Ix2};
use random::{Purpose, Stream};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::feature::{BLOCK, Feature};
use crate::linear;
use crate::moments::check_pair;

/// The mean over subsets, and its spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelDistance {
    /// Mean; may be negative, since it is unbiased.
    pub mean: f64,
    /// Standard deviation from subset to subset (divided by their number, not their number minus one).
    pub deviation: f64,
}

/// Row numbers of the first set, and of the second.
pub type Subset = (Vec<usize>, Vec<usize>);

/// The distance of rows `x` `[n, d]` and `y` `[m, d]`, by `subsets` pairs of `size` rows each, drawn by a seed
/// without replacement within a subset.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::Count`] for no subsets or a size that is not in
/// `2..=min(n, m)`.
pub fn kernel_distance<S, T>(
    x: &ArrayBase<S, Ix2>,
    y: &ArrayBase<T, Ix2>,
    (subsets, size): (usize, usize),
    seed: u64,
) -> Result<KernelDistance, MetricsError>
where
    S: Data,
    S::Elem: Feature,
    T: Data,
    T::Elem: Feature,
{
    let most = x.nrows().min(y.nrows());
    if size < 2 || size > most {
        return Err(MetricsError::Count {
            name: "size of a subset",
            got: size,
            expected: format!("2 to {most}"),
        });
    }
    let drawn: Vec<Subset> = (0..subsets as u64)
        .map(|subset| {
            let mut stream = Stream::new(seed, Purpose::Evaluate, subset, 0);
            let mut chosen = |rows: usize| {
                let order = stream.permutation(rows as u32);
                order[..size].iter().map(|&row| row as usize).collect()
            };
            (chosen(x.nrows()), chosen(y.nrows()))
        })
        .collect();
    kernel_distance_of(x, y, &drawn)
}

/// [`kernel_distance`] of given subsets: what another program drew, or all rows as one.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::Count`] for no subsets, for one of fewer
/// than two rows of a set, and for row numbers out of range.
pub fn kernel_distance_of<S, T>(
    x: &ArrayBase<S, Ix2>,
    y: &ArrayBase<T, Ix2>,
    subsets: &[Subset],
) -> Result<KernelDistance, MetricsError>
where
    S: Data,
    S::Elem: Feature,
    T: Data,
    T::Elem: Feature,
{
    let (x, y) = (x.view(), y.view());
    check_pair(x, y)?;
    let wrong = |name, got, expected| Err(MetricsError::Count { name, got, expected });
    if subsets.is_empty() {
        return wrong("subsets", 0, "1 or more".to_owned());
    }
    for (rows, count) in subsets.iter().flat_map(|(of_x, of_y)| [(of_x, x.nrows()), (of_y, y.nrows())]) {
        if rows.len() < 2 {
            return wrong("size of a subset", rows.len(), format!("2 to {count}"));
        }
        if let Some(&row) = rows.iter().find(|&&row| row >= count) {
            return wrong("row of a subset", row, format!("below {count}"));
        }
    }
    let of_subset = |(of_x, of_y): &Subset| discrepancy(&Rows(x.view(), of_x), &Rows(y.view(), of_y));
    let values: Vec<f64> = subsets.par_iter().map(of_subset).collect();
    let count = subsets.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    Ok(KernelDistance { mean, deviation: variance.sqrt() })
}

/// The standard error of the distance over other draws of `x`, with `y` fixed: the deviation of the influence of a
/// row of `x` over the root of n. The influence is twice the difference between its mean kernel with the other rows
/// and that with `y` (Hoeffding 1948, Sec. 5). At most 2,000 rows of each set, evenly spread, are used.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::TooFew`] for fewer than 3 rows of `x` or none of `y`.
pub fn kernel_error<S, T>(x: &ArrayBase<S, Ix2>, y: &ArrayBase<T, Ix2>) -> Result<f64, MetricsError>
where
    S: Data,
    S::Elem: Feature,
    T: Data,
    T::Elem: Feature,
{
    let (x, y) = (x.view(), y.view());
    check_pair(x, y)?;
    if x.nrows() < 3 || y.nrows() == 0 {
        let what = "the interval of a kernel distance";
        return Err(MetricsError::TooFew { what, got: x.nrows().min(y.nrows()), least: 3 });
    }
    let spread = |count: usize| -> Vec<usize> {
        let chosen = count.min(LOOKED);
        (0..chosen).map(|index| index * count / chosen).collect()
    };
    let (of_x, of_y) = (spread(x.nrows()), spread(y.nrows()));
    let (own, others) = (Rows(x, &of_x), Rows(y, &of_y));
    let (n, m, width) = (own.count(), others.count(), x.ncols() as f64);
    let square = |&row: &usize| x.row(row).mapv(Into::<f64>::into).mapv(|value| value * value).sum();
    let itself = of_x.iter().map(|row| (square(row) / width + 1.0).powi(3));
    let (within, between) = (own.row_sums(&own), own.row_sums(&others));
    let effect =
        |((within, itself), between): ((f64, f64), f64)| 2.0 * ((within - itself) / (n - 1.0) - between / m);
    let influence: Vec<f64> = within.into_iter().zip(itself).zip(between).map(effect).collect();
    let count = influence.len() as f64;
    let mean = influence.iter().sum::<f64>() / count;
    let variance = influence.iter().map(|effect| (effect - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Ok((variance / x.nrows() as f64).sqrt())
}

/// The most rows of a set that [`kernel_error`] uses.
const LOOKED: usize = 2000;

/// Rows of a set by their numbers.
struct Rows<'a, A>(ArrayView2<'a, A>, &'a [usize]);

impl<A: Feature> Rows<'_, A> {
    /// Blocks in f64, each converted only while in use.
    fn blocks(&self) -> impl IndexedParallelIterator<Item = Array2<f64>> + '_ {
        self.1.par_chunks(BLOCK).map(|rows| self.0.select(Axis(0), rows).mapv(Into::into))
    }

    fn count(&self) -> f64 {
        self.1.len() as f64
    }

    /// Of each row, the sum of the kernel with all rows of another set.
    fn row_sums<B: Feature>(&self, other: &Rows<'_, B>) -> Vec<f64> {
        let of_block = |own: Array2<f64>| {
            let sums: Vec<Array1<f64>> =
                other.blocks().map(|others| kernel(&own, &others).sum_axis(Axis(1))).collect();
            sums.into_iter().fold(Array1::zeros(own.nrows()), |sum, part| sum + part)
        };
        let blocks: Vec<Array1<f64>> = self.blocks().map(of_block).collect();
        blocks.into_iter().flatten().collect()
    }

    /// The sum of the kernel over all pairs with rows of another set.
    fn between<B: Feature>(&self, other: &Rows<'_, B>) -> f64 {
        let sums: Vec<f64> = self
            .blocks()
            .map(|own| {
                let sums: Vec<f64> = other.blocks().map(|others| kernel(&own, &others).sum()).collect();
                sums.iter().sum()
            })
            .collect();
        sums.iter().sum()
    }

    /// The sum over all pairs of different rows: twice that of one half.
    fn within(&self) -> f64 {
        let sums: Vec<f64> = self
            .blocks()
            .enumerate()
            .map(|(first, own)| {
                let sum = |others: Array2<f64>| 2.0 * kernel(&own, &others).sum();
                let later: Vec<f64> = self.blocks().skip(first + 1).map(sum).collect();
                let itself = kernel(&own, &own);
                itself.sum() - itself.diag().sum() + later.iter().sum::<f64>()
            })
            .collect();
        sums.iter().sum()
    }
}

/// `(x y / d + 1)^3` of each pair.
fn kernel(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    let width = x.ncols() as f64;
    let mut kernel = linear::inner(x.view(), y.view());
    kernel.mapv_inplace(|inner| (inner / width + 1.0).powi(3));
    kernel
}

/// The unbiased estimate of two sets (Gretton et al. 2012, Eq. 3).
fn discrepancy<A: Feature, B: Feature>(x: &Rows<'_, A>, y: &Rows<'_, B>) -> f64 {
    let (n, m) = (x.count(), y.count());
    x.within() / (n * (n - 1.0)) + y.within() / (m * (m - 1.0)) - 2.0 * x.between(y) / (n * m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn two_rows_by_hand() {
        let (x, y) = (array![[1.0], [3.0]], array![[0.0_f32], [2.0]]);
        // k = (x y + 1)^3: within x 64, within y 1; between 1, 27, 1, 343.
        let want = 64.0 + 1.0 - 2.0 * (1.0 + 27.0 + 1.0 + 343.0) / 4.0;
        let got = kernel_distance(&x, &y, (3, 2), 1).unwrap();
        assert!((got.mean - want).abs() < 1e-9 && got.deviation < 1e-9);
    }

    /// The error matches the spread of fresh draws, even where all samples form one subset.
    #[test]
    fn the_error_is_that_of_fresh_draws() {
        let normals = |rows: usize, seed: u64| -> Array2<f64> {
            let mut stream = Stream::new(seed, Purpose::Evaluate, 0, 9);
            Array2::from_shape_vec((rows, 4), stream.normals(rows * 4).into_iter().map(f64::from).collect())
                .unwrap()
        };
        let reference = normals(400, 1);
        let all = |rows: usize| vec![((0..rows).collect::<Vec<_>>(), (0..400).collect::<Vec<_>>())];
        let (mut values, mut errors) = (Vec::new(), 0.0);
        for draw in 0..60 {
            let samples = normals(150, 100 + draw) * 1.2 + 0.3;
            values.push(kernel_distance_of(&samples, &reference, &all(150)).unwrap().mean);
            errors += kernel_error(&samples, &reference).unwrap() / 60.0;
        }
        let mean = values.iter().sum::<f64>() / 60.0;
        let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
        // The spread of 60 draws is known to a tenth.
        assert!((errors / spread - 1.0).abs() < 0.3, "{errors} {spread}");
        assert!(kernel_error(&normals(2, 5), &reference).is_err());
    }

    /// Subsets of more rows than a block, of two sizes, against the plain double sum.
    #[test]
    fn blocks_leave_out_no_pair() {
        let features = |rows: usize, phase: f64| {
            Array2::from_shape_fn((rows, 3), |(i, j)| ((i * 7 + j * 3) as f64 * 0.31 + phase).sin())
        };
        let (x, y) = (features(2 * BLOCK + 70, 0.0), features(BLOCK + 30, 0.4));
        let plain = |a: &Array2<f64>, b: &Array2<f64>, same: bool| {
            let mut sum = 0.0;
            for (i, a) in a.outer_iter().enumerate() {
                for (j, b) in b.outer_iter().enumerate() {
                    sum += if same && i == j { 0.0 } else { (a.dot(&b) / 3.0 + 1.0).powi(3) };
                }
            }
            sum
        };
        let (n, m) = (x.nrows() as f64, y.nrows() as f64);
        let want = plain(&x, &x, true) / (n * (n - 1.0)) + plain(&y, &y, true) / (m * (m - 1.0))
            - 2.0 * plain(&x, &y, false) / (n * m);
        // In any order.
        let all = ((0..x.nrows()).rev().collect(), (0..y.nrows()).collect());
        let got = kernel_distance_of(&x, &y, &[all]).unwrap();
        assert!((got.mean - want).abs() < 1e-10, "{} {want}", got.mean);
    }

    #[test]
    fn equal_distributions_are_around_0_and_others_are_not() {
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
        for subset in [(vec![0, 1], vec![1]), (vec![0, 2000], vec![0, 1])] {
            let wrong = kernel_distance_of(&normals(0), &normals(1), &[subset]);
            assert!(matches!(wrong, Err(MetricsError::Count { .. })));
        }
    }
}
