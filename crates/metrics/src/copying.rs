//! Whether samples repeat the images a network was trained on.
//!
//! A network that generalises puts its samples no nearer to the images it was trained on than to images it never saw.
//! So the distances from each real image to its nearest sample are compared between the two sets by their ranks (Mann
//! & Whitney 1947; Meehan et al. 2020 compare distances for the same purpose). The real images are the random units,
//! and the samples are the same for both sets. If training did not depend on which images were in which set, the
//! ranks are exchangeable, and the test holds whatever the samples look like.

use std::ops::Range;

use ndarray::{ArrayBase, Data, Ix2};
use rayon::prelude::*;

use crate::error::MetricsError;
use crate::feature::Feature;
use crate::moments::check_pair;
use crate::neighbours::{Rows, distances};

/// The nearest of some other rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its number.
    pub index: usize,
    /// Euclidean distance to it.
    pub distance: f64,
}

/// For each row of `rows` `[n, d]` the nearest of `others` `[m, d]`; the first one in a tie.
///
/// # Errors
/// [`MetricsError::Width`], [`MetricsError::NonFinite`]; [`MetricsError::TooFew`] without others.
pub fn nearest<S, T>(
    rows: &ArrayBase<S, Ix2>,
    others: &ArrayBase<T, Ix2>,
) -> Result<Vec<Nearest>, MetricsError>
where
    S: Data,
    T: Data,
    S::Elem: Feature,
    T::Elem: Feature,
{
    let (rows, others) = (rows.view(), others.view());
    check_pair(rows, others)?;
    if others.nrows() == 0 {
        return Err(MetricsError::TooFew { what: "a nearest neighbour", got: 0, least: 1 });
    }
    let (rows, others) = (Rows::of(rows), Rows::of(others));
    let blocks: Vec<_> = rows.blocks().collect();
    let of_block = |block: &Range<usize>| {
        let mut best = vec![Nearest { index: 0, distance: f64::INFINITY }; block.len()];
        for part in others.blocks() {
            let distances = distances((&rows, block), (&others, &part));
            for (best, distances) in best.iter_mut().zip(distances.outer_iter()) {
                for (place, &distance) in distances.iter().enumerate() {
                    if distance < best.distance {
                        *best = Nearest { index: part.start + place, distance };
                    }
                }
            }
        }
        best.into_iter().map(|best| Nearest { distance: best.distance.sqrt(), ..best }).collect::<Vec<_>>()
    };
    Ok(blocks.par_iter().flat_map_iter(of_block).collect())
}

/// How much nearer the samples are to one set of real images than to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copying {
    /// The probability that an image of the training set has a nearer sample than a held-out image, ties counted half: 0.5
    /// without copying, 1 when every training image is nearer to some sample than every held-out one.
    pub share: f64,
    /// The probability of this share or a larger one without copying, by the normal approximation.
    pub p_value: f64,
}

/// Compares the distances to the nearest sample between training images and held-out images.
///
/// # Errors
/// [`MetricsError::TooFew`] for fewer than 20 distances in a set, where the normal approximation fails;
/// [`MetricsError::NonFinite`].
pub fn copying(train: &[f64], held_out: &[f64]) -> Result<Copying, MetricsError> {
    const LEAST: usize = 20;
    for set in [train, held_out] {
        if set.len() < LEAST {
            return Err(MetricsError::TooFew { what: "a test for copying", got: set.len(), least: LEAST });
        }
        if let Some(row) = set.iter().position(|distance| !distance.is_finite()) {
            return Err(MetricsError::NonFinite { row });
        }
    }
    let of = |set: &[f64], is_train: bool| set.iter().map(move |&d| (d, is_train)).collect::<Vec<_>>();
    let mut all = [of(train, true), of(held_out, false)].concat();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));

    // Pairs in which the training image is the nearer one, and the reduction of the variance by ties.
    let (n, m) = (train.len() as f64, held_out.len() as f64);
    let (mut nearer, mut held_out_before, mut tied) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let of_train = group.iter().filter(|(_, is_train)| *is_train).count() as f64;
        let size = group.len() as f64;
        let of_held_out = size - of_train;
        nearer += of_train * (m - held_out_before - of_held_out / 2.0);
        held_out_before += of_held_out;
        tied += size.powi(3) - size;
    }
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - tied / (total * (total - 1.0)));
    let share = nearer / (n * m);
    let p_value = if variance > 0.0 { upper_tail((nearer - n * m / 2.0) / variance.sqrt()) } else { 1.0 };
    Ok(Copying { share, p_value })
}

/// `P(Z > z)` of a standard normal (Abramowitz & Stegun 1964, Sec. 26.2: a series near 0, a continued fraction in the tail).
fn upper_tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    if z < 3.0 {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > 1e-17 * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let fraction = (1..=60).rev().fold(z, |below, k| z + f64::from(k) / below);
    density / fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use random::{Purpose, Stream};

    fn normals(rows: usize, columns: usize, step: u64) -> Array2<f64> {
        let values = Stream::new(3, Purpose::Evaluate, step, 0).normals(rows * columns);
        Array2::from_shape_vec((rows, columns), values.into_iter().map(f64::from).collect()).unwrap()
    }

    fn of_sets(train: &Array2<f64>, held_out: &Array2<f64>, samples: &Array2<f64>) -> Copying {
        let distances = |set| nearest(set, samples).unwrap().iter().map(|n| n.distance).collect::<Vec<_>>();
        copying(&distances(train), &distances(held_out)).unwrap()
    }

    #[test]
    fn the_nearest_row_is_found() {
        let found =
            nearest(&array![[0.0, 0.0], [5.0, 5.0]], &array![[3.0, 4.0], [0.0, 1.0], [0.0, 1.0]]).unwrap();
        assert_eq!(found[0], Nearest { index: 1, distance: 1.0 });
        assert_eq!((found[1].index, found[1].distance), (0, 5.0_f64.sqrt()));
        assert!(nearest(&array![[0.0]], &Array2::<f64>::zeros((0, 1))).is_err());
    }

    /// From tables of the normal distribution.
    #[test]
    fn tails_are_those_of_the_normal_distribution() {
        for (z, want) in [
            (0.0, 0.5),
            (1.0, 0.158_655_254),
            (1.959_963_985, 0.025),
            (3.090_232_306, 0.001),
            (6.0, 9.865_876e-10),
        ] {
            assert!((upper_tail(z) / want - 1.0).abs() < 1e-6, "{z}: {}", upper_tail(z));
            assert!((upper_tail(-z) + upper_tail(z) - 1.0).abs() < 1e-12);
        }
        assert!((upper_tail(2.999_999_9) / upper_tail(3.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn pairs_are_counted_by_hand() {
        let (train, held_out) = ([1.0; 20], [[1.0; 10], [2.0; 10]].concat());
        // Half of the pairs are ties, the others are won.
        assert!((copying(&train, &held_out).unwrap().share - 0.75).abs() < 1e-12);
        let same = copying(&[1.0; 20], &[1.0; 30]).unwrap();
        assert_eq!((same.share, same.p_value), (0.5, 1.0));
        assert!(matches!(copying(&[1.0; 19], &[1.0; 30]), Err(MetricsError::TooFew { got: 19, .. })));
        assert!(copying(&[f64::NAN; 20], &[1.0; 30]).is_err());
    }

    /// Samples near the training images are found. Samples of the same distribution are flagged only at the rate of
    /// the p-value.
    #[test]
    fn copies_are_found_and_nothing_else_is() {
        let mut alarms = 0;
        for trial in 0..200 {
            let part = |k: u64, rows| normals(rows, 6, 10 * trial + k);
            let (train, held_out) = (part(0, 60), part(1, 80));
            alarms += usize::from(of_sets(&train, &held_out, &part(2, 100)).p_value < 0.05);
            if trial < 20 {
                let copies = &train + &(part(3, 60) * 0.3);
                let found = of_sets(&train, &held_out, &copies);
                assert!(found.p_value < 1e-6 && found.share > 0.8, "{found:?}");
            }
        }
        // 10 expected, deviation 3.1.
        assert!((1..=20).contains(&alarms), "{alarms} of 200");
    }
}
