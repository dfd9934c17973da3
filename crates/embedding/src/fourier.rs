//! Gaussian Fourier features of normalised time: `sin(2 pi f_k t / T)` and `cos(2 pi f_k t / T)` with `f_k`
//! drawn once from N(0, scale^2) (Tancik et al. 2020; Song et al. 2021 for time).

use std::f64::consts::TAU;

use ndarray::Array1;
use random::{Purpose, Stream};

use crate::EmbeddingError;
use crate::check::{check_frequencies, check_steps};

/// Shape `[frequencies]`, radians per step of t, of either sign, in the order drawn.
pub(crate) fn angular_frequencies(
    steps: usize,
    frequencies: usize,
    scale: f64,
    seed: u64,
) -> Result<Array1<f64>, EmbeddingError> {
    check_steps(steps)?;
    check_frequencies(frequencies)?;
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(EmbeddingError::Parameter { name: "scale", expected: "(0, infinity)", got: scale });
    }
    let cycles = Stream::new(seed, Purpose::Frequencies, 0, 0).normals(frequencies);
    Ok(cycles.into_iter().map(|f| TAU * scale * f64::from(f) / steps as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmbeddingKind, TimeEmbedding};
    use ndarray::array;

    /// Mean 0 and standard deviation 16 cycles, within 5 standard errors of 4096 draws.
    #[test]
    fn frequencies_are_normal_at_the_scale() {
        let n = 4096;
        let embedding = TimeEmbedding::new(&EmbeddingKind::fourier(1000, n, 7)).unwrap();
        let cycles = embedding.angular_frequencies() * (1000.0 / TAU);
        let mean = cycles.sum() / n as f64;
        let variance = cycles.mapv(|f| (f - mean).powi(2)).sum() / n as f64;
        assert!(mean.abs() < 5.0 * 16.0 / (n as f64).sqrt(), "{mean}");
        assert!((variance - 256.0).abs() < 5.0 * 256.0 * (2.0 / n as f64).sqrt(), "{variance}");
    }

    #[test]
    fn seed_and_scale_fix_the_frequencies() {
        let build = |seed, scale| {
            let kind = EmbeddingKind::Fourier { steps: 1000, frequencies: 8, scale, seed };
            TimeEmbedding::new(&kind).unwrap()
        };
        assert_eq!(build(1, 16.0), build(1, 16.0));
        assert_ne!(build(1, 16.0), build(2, 16.0));
        assert_eq!(build(1, 16.0).angular_frequencies() * 2.0, build(1, 32.0).angular_frequencies());
    }

    #[test]
    fn golden_against_the_formula() {
        let embedding = TimeEmbedding::new(&EmbeddingKind::fourier(500, 2, 3)).unwrap();
        let cycles = Stream::new(3, Purpose::Frequencies, 0, 0).normals(2);
        let encoded = embedding.encode(array![125.0].view());
        for (k, &f) in cycles.iter().enumerate() {
            let angle = TAU * 16.0 * f64::from(f) * 0.25;
            assert!((encoded[[0, k]] - angle.sin()).abs() < 1e-12);
            assert!((encoded[[0, 2 + k]] - angle.cos()).abs() < 1e-12);
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let build = |steps, frequencies, scale| {
            TimeEmbedding::new(&EmbeddingKind::Fourier { steps, frequencies, scale, seed: 0 })
        };
        assert_eq!(build(1, 8, 16.0), Err(EmbeddingError::Steps { got: 1 }));
        assert_eq!(build(1000, 0, 16.0), Err(EmbeddingError::Frequencies { got: 0 }));
        for bad in [0.0, -16.0, f64::NAN, f64::INFINITY] {
            let got = build(1000, 8, bad);
            assert!(matches!(got, Err(EmbeddingError::Parameter { name: "scale", .. })), "{bad}");
        }
    }

    /// Scales near the largest f64 overflow; that is refused too, not encoded as NaN.
    #[test]
    fn overflow_is_refused() {
        let kind = EmbeddingKind::Fourier { steps: 2, frequencies: 8, scale: f64::MAX, seed: 0 };
        assert!(matches!(TimeEmbedding::new(&kind), Err(EmbeddingError::NotFinite { .. })));
    }
}
