//! The transformer's sinusoids on t itself: `omega_k = max_period^(-k / (dim / 2 - freq_shift))` (Vaswani et
//! al. 2017, Sec. 3.5, in the form of Ho et al. 2020's code).

use ndarray::Array1;

use crate::{EmbeddingError, MAX_DIM};

/// Shape `[dim / 2]`, radians per step of t, falling from 1.
pub(crate) fn angular_frequencies(
    dim: usize,
    max_period: f64,
    freq_shift: f64,
) -> Result<Array1<f64>, EmbeddingError> {
    if dim == 0 || dim % 2 == 1 || dim > MAX_DIM {
        return Err(EmbeddingError::Dim { got: dim });
    }
    if !(max_period > 1.0 && max_period.is_finite()) {
        return Err(EmbeddingError::Parameter {
            name: "max_period",
            expected: "(1, infinity)",
            got: max_period,
        });
    }
    if !(freq_shift >= 0.0 && freq_shift.is_finite()) {
        return Err(EmbeddingError::Parameter {
            name: "freq_shift",
            expected: "[0, dim / 2)",
            got: freq_shift,
        });
    }
    let half_dim = dim / 2;
    let divisor = half_dim as f64 - freq_shift;
    if divisor <= 0.0 {
        return Err(EmbeddingError::Divisor { half_dim, freq_shift });
    }
    Ok(Array1::from_shape_fn(half_dim, |k| (-max_period.ln() * k as f64 / divisor).exp()))
}

#[cfg(test)]
mod tests {
    use crate::{EmbeddingError, EmbeddingKind, Order, TimeEmbedding};
    use ndarray::{Array1, array};

    /// dim = 128 as for CIFAR-10: omega_k = 10000^(-k / 63), sines first.
    #[test]
    fn golden_of_the_papers_form() {
        let embedding = TimeEmbedding::new(&EmbeddingKind::transformer(128)).unwrap();
        let encoded = embedding.encode(array![0.0, 1.0, 999.0].view());
        assert_eq!(encoded.dim(), (3, 128));
        for (row, t) in [(0, 0.0), (1, 1.0), (2, 999.0)] {
            for k in 0..64 {
                let angle = t / 10_000.0_f64.powf(k as f64 / 63.0);
                assert!((encoded[[row, k]] - angle.sin()).abs() < 1e-11, "t = {t}, k = {k}");
                assert!((encoded[[row, 64 + k]] - angle.cos()).abs() < 1e-11, "t = {t}, k = {k}");
            }
        }
        // The lowest frequency is 1 / max_period with a shift of 1.
        assert!((embedding.angular_frequencies()[63] - 1e-4).abs() < 1e-17);
    }

    /// The other common form: cosines first, divisor dim / 2.
    #[test]
    fn golden_with_cosines_first_and_no_shift() {
        let kind = EmbeddingKind::Transformer {
            dim: 4,
            max_period: 10_000.0,
            order: Order::CosFirst,
            freq_shift: 0.0,
        };
        let encoded = TimeEmbedding::new(&kind).unwrap().encode(array![2.0].view());
        // Frequencies 1 and 10000^(-1/2) = 0.01.
        for (got, want) in encoded.iter().zip([2.0_f64.cos(), 0.02_f64.cos(), 2.0_f64.sin(), 0.02_f64.sin()])
        {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }

    /// t is not normalised: the fastest frequency is 1 radian a step, and neighbours are 1.939 apart for
    /// dim = 128, everywhere the same: the distance is sqrt(sum of (2 sin(omega_k / 2))^2).
    #[test]
    fn neighbours_are_distinguishable() {
        let embedding = TimeEmbedding::new(&EmbeddingKind::transformer(128)).unwrap();
        let encoded = embedding.encode(Array1::from_shape_fn(1000, |t| t as f64).view());
        let least = (1..1000)
            .map(|t| (&encoded.row(t) - &encoded.row(t - 1)).mapv(|x| x * x).sum().sqrt())
            .fold(f64::INFINITY, f64::min);
        assert!((least - 1.939).abs() < 5e-4, "{least}");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let build = |dim, max_period, freq_shift| {
            let order = Order::SinFirst;
            TimeEmbedding::new(&EmbeddingKind::Transformer { dim, max_period, order, freq_shift })
        };
        for dim in [0, 1, 127, usize::MAX, crate::MAX_DIM + 2] {
            assert_eq!(build(dim, 1e4, 1.0), Err(EmbeddingError::Dim { got: dim }));
        }
        for bad in [1.0, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let got = build(128, bad, 1.0);
            assert!(matches!(got, Err(EmbeddingError::Parameter { name: "max_period", .. })), "{bad}");
        }
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let got = build(128, 1e4, bad);
            assert!(matches!(got, Err(EmbeddingError::Parameter { name: "freq_shift", .. })), "{bad}");
        }
        // The paper's form divides by zero with a single frequency.
        assert_eq!(build(2, 1e4, 1.0), Err(EmbeddingError::Divisor { half_dim: 1, freq_shift: 1.0 }));
        assert_eq!(build(2, 1e4, 0.0).unwrap().angular_frequencies(), array![1.0]);
    }
}
