//! The uncertainty of a number: the bootstrap (Efron 1979).

use random::{Purpose, Stream};

use crate::error::MetricsError;

/// 95 of 100 normal numbers are within this many standard deviations of their mean.
pub(crate) const NORMAL: f64 = 1.959_963_984_540_054;

/// A value and the range of 95 of 100: of resamples ([`bootstrap`]), or of other draws
/// ([`frechet_interval`](crate::frechet_interval)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The value for the actual rows.
    pub value: f64,
    /// 2.5 of 100 lie below.
    pub low: f64,
    /// 2.5 of 100 lie above.
    pub high: f64,
}

/// The interval of a statistic of `rows` rows by the bootstrap. `of` gets row numbers: first all of them, then
/// `resamples` times as many drawn with replacement, by a seed.
///
/// A statistic whose bias depends on the number of different rows, such as the Frechet distance, is larger in
/// resamples. Its interval says how far it would move, not where the truth lies.
///
/// # Errors
/// [`MetricsError::Count`] for fewer than 20 resamples, [`MetricsError::TooFew`] for no rows, and those of `of`.
pub fn bootstrap(
    rows: usize,
    resamples: usize,
    seed: u64,
    mut of: impl FnMut(&[usize]) -> Result<f64, MetricsError>,
) -> Result<Interval, MetricsError> {
    if resamples < 20 {
        return Err(MetricsError::Count {
            name: "resamples",
            got: resamples,
            expected: "20 or more".to_owned(),
        });
    }
    if rows == 0 {
        return Err(MetricsError::TooFew { what: "an interval", got: 0, least: 1 });
    }
    let all: Vec<usize> = (0..rows).collect();
    let value = of(&all)?;
    let mut values = Vec::with_capacity(resamples);
    for resample in 0..resamples as u64 {
        let mut stream = Stream::new(seed, Purpose::Evaluate, resample, 2);
        let drawn: Vec<usize> = (0..rows).map(|_| stream.below(rows as u32) as usize).collect();
        values.push(of(&drawn)?);
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((share * resamples as f64) as usize).min(resamples - 1)];
    Ok(Interval { value, low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval of a mean is that of the central limit theorem.
    #[test]
    fn a_mean_has_its_standard_error() {
        let values = Stream::new(4, Purpose::Evaluate, 0, 3).normals(900);
        let mean = |rows: &[usize]| {
            Ok(rows.iter().map(|&row| f64::from(values[row])).sum::<f64>() / rows.len() as f64)
        };
        let got = bootstrap(900, 1000, 7, mean).unwrap();
        let half = (got.high - got.low) / 2.0;
        assert!((half / (1.96 / 30.0) - 1.0).abs() < 0.12, "{got:?}");
        assert!(got.low < got.value && got.value < got.high);
        assert_eq!(got, bootstrap(900, 1000, 7, mean).unwrap());
        assert!(bootstrap(900, 5, 7, mean).is_err() && bootstrap(0, 50, 7, mean).is_err());
    }
}
