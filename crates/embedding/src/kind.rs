//! The kinds of time embedding with their parameters.

use std::fmt;

use ndarray::Array1;

use crate::normalized::Ladder;
use crate::{EmbeddingError, Order, fourier, normalized, transformer};

/// What determines the angular frequencies of a [`TimeEmbedding`](crate::TimeEmbedding), and their order.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EmbeddingKind {
    /// Sinusoids of `t / T` with frequencies from 1 cycle over the chain to the Nyquist frequency, `T / 2`
    /// cycles; sines first.
    ///
    /// Errors: [`EmbeddingError::Steps`], [`EmbeddingError::Frequencies`].
    Normalized {
        /// T, the number of diffusion steps, at least 2.
        steps: usize,
        /// K, the number of frequencies, at least 1; the embedding has 2K dimensions.
        frequencies: usize,
        /// How the frequencies lie between the lowest and the highest.
        ladder: Ladder,
    },
    /// The positional encoding of transformers (Vaswani et al. 2017, Sec. 3.5) as diffusion models use it, on t
    /// itself: `omega_k = max_period^(-k / (dim / 2 - freq_shift))` for `k in 0..dim / 2`.
    ///
    /// Implementations differ in the last two parameters, and weights fit only the values they were trained with: the
    /// code of Ho et al. 2020 has sines first and `freq_shift = 1`, that of Nichol & Dhariwal 2021 has cosines first
    /// and `freq_shift = 0`.
    ///
    /// Errors: [`EmbeddingError::Dim`], [`EmbeddingError::Parameter`] for a `max_period` that is not a number
    /// above 1 or a `freq_shift` that is not a number from 0, [`EmbeddingError::Divisor`].
    Transformer {
        /// The number of dimensions, even.
        dim: usize,
        /// 2 pi times this is the longest period in steps (approached with `freq_shift = 0`, reached with
        /// 1); usually 10000.
        max_period: f64,
        /// Which half comes first.
        order: Order,
        /// Subtracted from `dim / 2` in the exponent's divisor.
        freq_shift: f64,
    },
    /// Random Fourier features (Tancik et al. 2020; Song et al. 2021 for time): sinusoids of `t / T` with
    /// frequencies drawn from N(0, scale^2), fixed afterwards; sines first.
    ///
    /// Errors: [`EmbeddingError::Steps`], [`EmbeddingError::Frequencies`], [`EmbeddingError::Parameter`] for a
    /// `scale` that is not a number above 0.
    Fourier {
        /// T, the number of diffusion steps, at least 2.
        steps: usize,
        /// K, the number of frequencies, at least 1; the embedding has 2K dimensions.
        frequencies: usize,
        /// Standard deviation of the frequencies, in cycles over the chain; usually 16.
        scale: f64,
        /// Seed of the frequencies: same seed, same frequencies.
        seed: u64,
    },
}

impl EmbeddingKind {
    /// The names of the kinds.
    pub const NAMES: &[&str] = &["normalized", "transformer", "fourier"];

    /// Sinusoids of `t / steps` with `frequencies` geometrically spaced frequencies up to Nyquist.
    #[must_use]
    pub fn normalized(steps: usize, frequencies: usize) -> Self {
        Self::Normalized { steps, frequencies, ladder: Ladder::Geometric }
    }

    /// The embedding of Ho et al. 2020, as in their code: period 10000, sines first, `freq_shift = 1`.
    #[must_use]
    pub fn transformer(dim: usize) -> Self {
        Self::Transformer { dim, max_period: 10_000.0, order: Order::SinFirst, freq_shift: 1.0 }
    }

    /// Gaussian Fourier features at a scale of 16 cycles over the chain.
    #[must_use]
    pub fn fourier(steps: usize, frequencies: usize, seed: u64) -> Self {
        Self::Fourier { steps, frequencies, scale: 16.0, seed }
    }

    /// The kind's name, without its parameters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Normalized { .. } => "normalized",
            Self::Transformer { .. } => "transformer",
            Self::Fourier { .. } => "fourier",
        }
    }

    pub(crate) fn order(&self) -> Order {
        match *self {
            Self::Transformer { order, .. } => order,
            Self::Normalized { .. } | Self::Fourier { .. } => Order::SinFirst,
        }
    }

    /// Shape `[K]`, radians per step of t.
    pub(crate) fn angular_frequencies(&self) -> Result<Array1<f64>, EmbeddingError> {
        match *self {
            Self::Normalized { steps, frequencies, ladder } => {
                normalized::angular_frequencies(steps, frequencies, ladder)
            }
            Self::Transformer { dim, max_period, freq_shift, .. } => {
                transformer::angular_frequencies(dim, max_period, freq_shift)
            }
            Self::Fourier { steps, frequencies, scale, seed } => {
                fourier::angular_frequencies(steps, frequencies, scale, seed)
            }
        }
    }
}

/// The kind's name.
impl fmt::Display for EmbeddingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimeEmbedding;

    #[test]
    fn names_and_dimensions_of_each_kind() {
        let kinds = [
            EmbeddingKind::normalized(1000, 10),
            EmbeddingKind::transformer(20),
            EmbeddingKind::fourier(1000, 10, 0),
        ];
        for (kind, name) in kinds.iter().zip(EmbeddingKind::NAMES) {
            assert_eq!(kind.to_string(), *name);
            let embedding = TimeEmbedding::new(kind).unwrap();
            assert_eq!((embedding.dim(), embedding.order()), (20, Order::SinFirst));
        }
    }
}
