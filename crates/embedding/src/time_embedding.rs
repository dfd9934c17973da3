//! The core that all kinds share: `[sin(omega_k t) | cos(omega_k t)]` for given angular frequencies `omega_k`.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::check::check_frequencies;
use crate::{EmbeddingError, EmbeddingKind};

/// Which half of the dimensions comes first. Implementations differ, and weights fit only the order they were trained
/// with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `[all sines | all cosines]`.
    SinFirst,
    /// `[all cosines | all sines]`.
    CosFirst,
}

impl Order {
    /// The names that [`FromStr`] knows.
    pub const NAMES: &[&str] = &["sin-first", "cos-first"];
}

impl FromStr for Order {
    type Err = EmbeddingError;

    fn from_str(name: &str) -> Result<Self, EmbeddingError> {
        match name {
            "sin-first" => Ok(Self::SinFirst),
            "cos-first" => Ok(Self::CosFirst),
            _ => Err(EmbeddingError::UnknownName {
                what: "order of sines and cosines",
                got: name.to_owned(),
                expected: Self::NAMES,
            }),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SinFirst => "sin-first",
            Self::CosFirst => "cos-first",
        })
    }
}

/// A function from times to encodings, fixed by its angular frequencies and its order.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeEmbedding {
    angular_frequencies: Array1<f64>,
    order: Order,
}

impl TimeEmbedding {
    /// Makes the embedding of a kind.
    ///
    /// # Errors
    /// Those listed at each [`EmbeddingKind`].
    pub fn new(kind: &EmbeddingKind) -> Result<Self, EmbeddingError> {
        Self::from_angular_frequencies(kind.angular_frequencies()?, kind.order())
    }

    /// Makes the embedding with given angular frequencies, shape `[K]`, in radians per step of t. Use it for
    /// frequencies from elsewhere, such as a stored model's random ones.
    ///
    /// # Errors
    /// [`EmbeddingError::Frequencies`] for none or too many; [`EmbeddingError::NotFinite`].
    ///
    /// ```
    /// use embedding::{Order, TimeEmbedding};
    /// use ndarray::array;
    /// let embedding = TimeEmbedding::from_angular_frequencies(array![0.5], Order::CosFirst)?;
    /// assert_eq!(embedding.encode(array![0.0].view()), array![[1.0, 0.0]]);
    /// # Ok::<(), embedding::EmbeddingError>(())
    /// ```
    pub fn from_angular_frequencies(
        angular_frequencies: Array1<f64>,
        order: Order,
    ) -> Result<Self, EmbeddingError> {
        check_frequencies(angular_frequencies.len())?;
        match angular_frequencies.iter().enumerate().find(|(_, omega)| !omega.is_finite()) {
            Some((index, &got)) => Err(EmbeddingError::NotFinite { index, got }),
            None => Ok(Self { angular_frequencies, order }),
        }
    }

    /// The angular frequencies `omega_k`, shape `[K]`, in radians per step of t.
    #[must_use]
    pub fn angular_frequencies(&self) -> &Array1<f64> {
        &self.angular_frequencies
    }

    /// Which half of the dimensions comes first.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// The number of dimensions, 2K.
    #[must_use]
    pub fn dim(&self) -> usize {
        2 * self.angular_frequencies.len()
    }

    /// The encodings `[b, 2K]`, in `[-1, 1]`, of the times `t` `[b]`, in steps of `0..T` and fractions of them. A
    /// time that is not finite encodes as NaN.
    ///
    /// The angle `omega_k t` reaches thousands of radians, so it is computed in f64: as an f32 it would be
    /// wrong in the fourth decimal.
    #[must_use]
    pub fn encode(&self, t: ArrayView1<'_, f64>) -> Array2<f64> {
        let angles = &t.insert_axis(Axis(1)) * &self.angular_frequencies; // [b, K]
        let mut encoded = Array2::zeros((angles.nrows(), self.dim())); // [b, 2K]
        let (mut first, mut second) = encoded.view_mut().split_at(Axis(1), angles.ncols());
        let (sines, cosines) = match self.order {
            Order::SinFirst => (&mut first, &mut second),
            Order::CosFirst => (&mut second, &mut first),
        };
        sines.assign(&angles.mapv(f64::sin));
        cosines.assign(&angles.mapv(f64::cos));
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, array, concatenate};
    use proptest::prelude::*;

    #[test]
    fn halves_are_not_interleaved() {
        let omega = array![0.1, 2.0, -0.3];
        let t = array![0.0, 1.0, 7.5];
        let sin_first = TimeEmbedding::from_angular_frequencies(omega.clone(), Order::SinFirst).unwrap();
        let encoded = sin_first.encode(t.view());
        assert_eq!(encoded.dim(), (3, 6));
        for (row, &t) in t.iter().enumerate() {
            for (k, omega) in omega.iter().enumerate() {
                assert_eq!(encoded[[row, k]], (omega * t).sin());
                assert_eq!(encoded[[row, 3 + k]], (omega * t).cos());
            }
        }
        let cos_first = TimeEmbedding::from_angular_frequencies(omega, Order::CosFirst).unwrap();
        let (sines, cosines) = encoded.view().split_at(Axis(1), 3);
        let swapped = concatenate![Axis(1), cosines, sines];
        assert_eq!(cos_first.encode(t.view()), swapped);
        assert_eq!(sin_first.encode(arr1(&[]).view()).dim(), (0, 6));
    }

    #[test]
    fn bad_frequencies_are_refused() {
        let build = |omega: Array1<f64>| TimeEmbedding::from_angular_frequencies(omega, Order::SinFirst);
        assert_eq!(build(array![]), Err(EmbeddingError::Frequencies { got: 0 }));
        let many = build(Array1::zeros(crate::MAX_DIM / 2 + 1));
        assert_eq!(many, Err(EmbeddingError::Frequencies { got: 32_769 }));
        assert!(matches!(build(array![1.0, f64::NAN]), Err(EmbeddingError::NotFinite { index: 1, .. })));
        assert!(matches!(build(array![f64::INFINITY]), Err(EmbeddingError::NotFinite { index: 0, .. })));
    }

    #[test]
    fn orders_come_back() {
        for name in Order::NAMES {
            assert_eq!(name.parse::<Order>().unwrap().to_string(), *name);
        }
        let error = "sine".parse::<Order>().unwrap_err().to_string();
        assert!(error.ends_with("expected one of: sin-first, cos-first"), "{error}");
    }

    proptest! {
        /// sin^2 + cos^2 = 1 for each frequency: every encoding has the same length, sqrt(K).
        #[test]
        fn encodings_lie_on_a_sphere(t in -10.0_f64..2000.0, omega in proptest::collection::vec(-9.0_f64..9.0, 1..20)) {
            let frequencies = omega.len() as f64;
            let embedding = TimeEmbedding::from_angular_frequencies(omega.into(), Order::SinFirst).unwrap();
            let encoded = embedding.encode(array![t].view());
            prop_assert!((encoded.mapv(|x| x * x).sum() - frequencies).abs() < 1e-12);
        }
    }
}
