//! Sinusoids of normalised time: `sin(2 pi f_k t / T)` and `cos(2 pi f_k t / T)`, with `f_k` cycles over the
//! chain from 1 up to the Nyquist frequency `T / 2`.
//!
//! T samples of a sinusoid determine it only below `T / 2` cycles: on the integers, `T / 2 + d` cycles look
//! like `T / 2 - d`. At exactly `T / 2` the cosine alternates between 1 and -1, which tells any two
//! neighbouring t apart, and the sine is 0 at every integer t.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::EmbeddingError;
use crate::check::{check_frequencies, check_steps};

/// How K frequencies are spread between 1 and `T / 2` cycles, both included. A single one is 1 cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ladder {
    /// `f_k = (T / 2)^(k / (K - 1))`: as many between 1 and 2 cycles as between 100 and 200.
    Geometric,
    /// `f_k = 1 + k (T / 2 - 1) / (K - 1)`.
    Linear,
}

impl Ladder {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["geometric", "linear"];
}

impl FromStr for Ladder {
    type Err = EmbeddingError;

    fn from_str(name: &str) -> Result<Self, EmbeddingError> {
        match name {
            "geometric" => Ok(Self::Geometric),
            "linear" => Ok(Self::Linear),
            _ => Err(EmbeddingError::UnknownName {
                what: "frequency ladder",
                got: name.to_owned(),
                expected: Self::NAMES,
            }),
        }
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Geometric => "geometric",
            Self::Linear => "linear",
        })
    }
}

/// Shape `[frequencies]`, radians per step of t, ascending up to pi.
pub(crate) fn angular_frequencies(
    steps: usize,
    frequencies: usize,
    ladder: Ladder,
) -> Result<Array1<f64>, EmbeddingError> {
    check_steps(steps)?;
    check_frequencies(frequencies)?;
    let nyquist = steps as f64 / 2.0;
    let cycles = |k: usize| {
        if k == 0 {
            return 1.0;
        }
        // The last one is exactly Nyquist, without the rounding of the power.
        if k == frequencies - 1 {
            return nyquist;
        }
        let part = k as f64 / (frequencies - 1) as f64;
        match ladder {
            Ladder::Geometric => nyquist.powf(part),
            Ladder::Linear => 1.0 + part * (nyquist - 1.0),
        }
    };
    Ok(Array1::from_shape_fn(frequencies, |k| TAU * (cycles(k) / steps as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmbeddingKind, Order, TimeEmbedding};
    use ndarray::{Array2, array};
    use proptest::prelude::*;
    use std::f64::consts::PI;

    fn all_times(embedding: &TimeEmbedding, steps: usize) -> Array2<f64> {
        embedding.encode(Array1::from_shape_fn(steps, |t| t as f64).view())
    }

    fn distance(encoded: &Array2<f64>, a: usize, b: usize) -> f64 {
        (&encoded.row(a) - &encoded.row(b)).mapv(|x| x * x).sum().sqrt()
    }

    fn cycles(ladder: Ladder, steps: usize, frequencies: usize) -> Vec<f64> {
        let kind = EmbeddingKind::Normalized { steps, frequencies, ladder };
        let embedding = TimeEmbedding::new(&kind).unwrap();
        embedding.angular_frequencies().iter().map(|omega| omega * steps as f64 / TAU).collect()
    }

    /// T = 1000: 10 frequencies, 20 dimensions, at most 500 cycles.
    #[test]
    fn ten_frequencies_of_a_thousand_steps() {
        let geometric = cycles(Ladder::Geometric, 1000, 10);
        assert!((geometric[0] - 1.0).abs() < 1e-15 && (geometric[9] - 500.0).abs() < 1e-12);
        let ratio = 500.0_f64.powf(1.0 / 9.0);
        assert!(geometric.windows(2).all(|pair| (pair[1] / pair[0] - ratio).abs() < 1e-12));
        let linear = cycles(Ladder::Linear, 1000, 10);
        assert!((linear[0] - 1.0).abs() < 1e-15 && (linear[9] - 500.0).abs() < 1e-12);
        assert!(linear.windows(2).all(|pair| (pair[1] - pair[0] - 499.0 / 9.0).abs() < 1e-12));
    }

    #[test]
    fn golden_against_the_formula() {
        let embedding = TimeEmbedding::new(&EmbeddingKind::normalized(1000, 3)).unwrap();
        let encoded = embedding.encode(array![1.0, 250.0, 0.5].view());
        // Frequencies 1, sqrt(500), 500.
        for (row, normalised) in [(0, 0.001), (1, 0.25), (2, 0.0005)] {
            for (k, cycles) in [1.0, 500.0_f64.sqrt(), 500.0].into_iter().enumerate() {
                let angle = 2.0 * PI * cycles * normalised;
                assert!((encoded[[row, k]] - angle.sin()).abs() < 1e-12);
                assert!((encoded[[row, 3 + k]] - angle.cos()).abs() < 1e-12);
            }
        }
        // One quarter of the chain is a quarter of the first cycle; half a step is a quarter of the last.
        assert!((encoded[[1, 0]] - 1.0).abs() < 1e-15 && (encoded[[2, 2]] - 1.0).abs() < 1e-15);
    }

    /// Neighbours are 2.609 apart and any two times at least 2.578, where no two can be further apart than
    /// 2 sqrt(10) = 6.325.
    #[test]
    fn times_are_distinguishable() {
        let embedding = TimeEmbedding::new(&EmbeddingKind::normalized(1000, 10)).unwrap();
        let encoded = all_times(&embedding, 1000);
        let neighbours = (1..1000).map(|t| distance(&encoded, t - 1, t)).fold(f64::INFINITY, f64::min);
        let any_two = (0..1000)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| distance(&encoded, a, b))
            .fold(f64::INFINITY, f64::min);
        assert!((neighbours - 2.609).abs() < 5e-4, "{neighbours}");
        assert!((any_two - 2.578).abs() < 5e-4, "{any_two}");
    }

    /// Frequencies above Nyquist add nothing on integer t: T/2 + d cycles look like T/2 - d cycles with the sine
    /// mirrored, so a network gets the same number twice. The two differ only between the steps.
    #[test]
    fn frequencies_above_nyquist_alias() {
        let steps = 1000;
        for d in [1.0, 37.5, 499.0] {
            let omega = array![500.0 + d, 500.0 - d] * (TAU / 1000.0);
            let embedding = TimeEmbedding::from_angular_frequencies(omega, Order::SinFirst).unwrap();
            let encoded = all_times(&embedding, steps);
            let sum_of_sines = &encoded.column(0) + &encoded.column(1);
            let difference_of_cosines = &encoded.column(2) - &encoded.column(3);
            assert!(sum_of_sines.iter().chain(&difference_of_cosines).all(|x| x.abs() < 1e-11), "d = {d}");
            // At t = 0.5 the mirrored points are a full diameter of the circle apart.
            let between = embedding.encode(array![0.5].view());
            let apart = (between[[0, 0]] + between[[0, 1]]).hypot(between[[0, 2]] - between[[0, 3]]);
            assert!((apart - 2.0).abs() < 1e-12, "d = {d}: {apart}");
        }
    }

    /// The worst case: multiples of T cycles are the same at every step, and the time is lost.
    #[test]
    fn multiples_of_the_sampling_rate_are_constant() {
        let omega = array![1000.0, 2000.0] * (TAU / 1000.0);
        let embedding = TimeEmbedding::from_angular_frequencies(omega, Order::SinFirst).unwrap();
        let encoded = all_times(&embedding, 1000);
        let farthest = (1..1000).map(|t| distance(&encoded, 0, t)).fold(0.0, f64::max);
        assert!(farthest < 1e-10, "{farthest}");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let build = |steps, frequencies| TimeEmbedding::new(&EmbeddingKind::normalized(steps, frequencies));
        assert_eq!(build(1000, 0), Err(EmbeddingError::Frequencies { got: 0 }));
        assert_eq!(build(1000, usize::MAX), Err(EmbeddingError::Frequencies { got: usize::MAX }));
        assert_eq!(build(0, 10), Err(EmbeddingError::Steps { got: 0 }));
        let short = build(1, 10).unwrap_err();
        assert_eq!(short.to_string(), "an embedding of normalised t needs at least 2 diffusion steps, got 1");
    }

    #[test]
    fn ladders_come_back() {
        for name in Ladder::NAMES {
            assert_eq!(name.parse::<Ladder>().unwrap().to_string(), *name);
        }
        assert!(matches!("log".parse::<Ladder>(), Err(EmbeddingError::UnknownName { .. })));
    }

    proptest! {
        /// Any chain, any number of frequencies: ascending from 1 cycle to Nyquist, 2K dimensions, and
        /// with at least two frequencies neighbours differ by 2 in the last cosine.
        #[test]
        fn from_one_cycle_to_nyquist(steps in 2_usize..3000, frequencies in 2_usize..40, linear: bool) {
            let ladder = if linear { Ladder::Linear } else { Ladder::Geometric };
            let kind = EmbeddingKind::Normalized { steps, frequencies, ladder };
            let embedding = TimeEmbedding::new(&kind).unwrap();
            prop_assert_eq!(embedding.dim(), 2 * frequencies);
            let omega = embedding.angular_frequencies();
            prop_assert!((omega[0] - TAU / steps as f64).abs() < 1e-15);
            prop_assert_eq!(omega[frequencies - 1], PI);
            prop_assert!(omega.windows(2).into_iter().all(|pair| pair[0] <= pair[1] * (1.0 + 1e-15)));
            let encoded = all_times(&embedding, steps);
            let last = encoded.column(2 * frequencies - 1);
            prop_assert!(last.windows(2).into_iter().all(|pair| ((pair[0] - pair[1]).abs() - 2.0).abs() < 1e-9));
        }
    }
}
