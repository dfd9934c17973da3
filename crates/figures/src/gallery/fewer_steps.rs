//! Figure 11: shorter chains, by respacing (Nichol & Dhariwal 2021) and DDIM (Song et al. 2021).

use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::blocks::{self, SamplerBlocks};

/// Blocks of samples, one row per sampler, one column per number of steps.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when a sampler does not have one block for each of
/// `steps`, [`FiguresError::Shape`] when blocks differ, [`FiguresError::Channels`],
/// [`FiguresError::TooLarge`].
pub fn fewer_steps(steps: &[usize], samplers: &[SamplerBlocks<'_>]) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "11-fewer-steps",
        title: "Samples by number of steps",
        caption: "Samples from the same starting noise by number of network evaluations. DDPM draws fresh noise at every \
                  step; DDIM with η = 0 draws none after the start."
            .into(),
        equation: "x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s − σ^2) ε_θ(x_t, t) + σ z,  s < t;  \
                   σ = η √((1 − ᾱ_s)/(1 − ᾱ_t)) √(1 − ᾱ_t/ᾱ_s),  η = 0 for DDIM",
        note: "Columns: number of network evaluations. The same place in every block started from the same noise.",
    };
    blocks::draw(words, "steps", steps, samplers)
}

#[cfg(test)]
mod tests {
    use super::fewer_steps;
    use crate::error::FiguresError;
    use crate::gallery::blocks::SamplerBlocks;
    use ndarray::Array4;

    #[test]
    fn draws_and_refuses() {
        let images = Array4::<u8>::from_elem((4, 8, 8, 1), 90);
        let sampler = |name, count: usize| SamplerBlocks { name, blocks: vec![images.view(); count] };
        let draw = || fewer_steps(&[10, 20], &[sampler("DDPM", 2), sampler("DDIM", 2)]);
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert!(matches!(fewer_steps(&[], &[sampler("DDPM", 0)]), Err(FiguresError::Empty { .. })));
        assert!(matches!(fewer_steps(&[10], &[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(
            fewer_steps(&[10, 20], &[sampler("DDPM", 2), sampler("DDIM", 1)]),
            Err(FiguresError::Mismatch { expected: 2, got: 1, .. })
        ));
        let fewer = Array4::<u8>::zeros((3, 8, 8, 1));
        let uneven = SamplerBlocks { name: "DDPM", blocks: vec![images.view(), fewer.view()] };
        assert!(matches!(fewer_steps(&[10, 20], &[uneven]), Err(FiguresError::Shape { .. })));
    }
}
