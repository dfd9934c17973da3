//! The Inception score (Salimans et al. 2016): `exp(mean KL(p(y | x) || p(y)))` of a classifier's predictions.

use ndarray::{ArrayBase, ArrayView1, ArrayView2, Axis, Data, Ix2};

use crate::error::MetricsError;
use crate::feature::{Feature, wide};

/// How far a sum of probabilities may be from 1.
const CLOSE: f64 = 1e-3;

/// Mean and standard deviation over `splits` equal parts of the predictions `answers` `[n, classes]`, whose rows are
/// distributions. The parts are consecutive rows, so shuffle rows that are sorted in some way.
///
/// # Errors
/// [`MetricsError::NoDistribution`]; [`MetricsError::Count`] for splits that are not in `1..=n`.
pub fn inception_score<S>(answers: &ArrayBase<S, Ix2>, splits: usize) -> Result<(f64, f64), MetricsError>
where
    S: Data,
    S::Elem: Feature,
{
    let count = answers.nrows();
    if splits == 0 || splits > count {
        return Err(MetricsError::Count { name: "splits", got: splits, expected: format!("1 to {count}") });
    }
    let wrong = |row: ArrayView1<'_, S::Elem>| {
        let sum: f64 = row.iter().map(|&p| p.into()).sum();
        // NaN is outside every range.
        !row.iter().all(|&p| (0.0..=1.0 + CLOSE).contains(&p.into())) || (sum - 1.0).abs() > CLOSE
    };
    if let Some(row) = answers.outer_iter().position(wrong) {
        return Err(MetricsError::NoDistribution { row });
    }
    let scores: Vec<f64> = (0..splits)
        .map(|part| {
            let rows = part * count / splits..(part + 1) * count / splits;
            of_part(wide(answers.view(), rows).view())
        })
        .collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits as f64;
    Ok((mean, variance.sqrt()))
}

fn of_part(answers: ArrayView2<'_, f64>) -> f64 {
    let Some(marginal) = answers.mean_axis(Axis(0)) else { return f64::NAN };
    let divergence: f64 = answers
        .outer_iter()
        .map(|row| {
            row.iter().zip(&marginal).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
        })
        .sum();
    (divergence / answers.nrows() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn clear_and_various_answers_count_their_classes() {
        let clear = Array2::from_shape_fn((12, 4), |(i, j)| f64::from(u8::from(i % 4 == j)));
        let (mean, deviation) = inception_score(&clear, 3).unwrap();
        assert!((mean - 4.0).abs() < 1e-12 && deviation < 1e-12);
        let vague = Array2::from_elem((8, 4), 0.25);
        assert!((inception_score(&vague, 1).unwrap().0 - 1.0).abs() < 1e-12);
        let two = array![[0.9, 0.1], [0.3, 0.7]];
        let kl = |p: [f64; 2]| p[0] * (p[0] / 0.6).ln() + p[1] * (p[1] / 0.4).ln();
        let want = (0.5 * (kl([0.9, 0.1]) + kl([0.3, 0.7]))).exp();
        assert!((inception_score(&two, 1).unwrap().0 - want).abs() < 1e-12);
        assert!(matches!(
            inception_score(&array![[0.5, 0.2]], 1),
            Err(MetricsError::NoDistribution { row: 0 })
        ));
        assert!(inception_score(&two, 3).is_err());
    }
}
