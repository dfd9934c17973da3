//! Figure 12: the solvers side by side.

use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::blocks::{self, SamplerBlocks};

/// Blocks of samples, one row per solver, one column per number of network evaluations.
///
/// # Errors
/// As [`crate::fewer_steps`].
pub fn solvers(calls: &[usize], samplers: &[SamplerBlocks<'_>]) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "12-solvers",
        title: "Solvers side by side",
        caption: "Samples from the same starting noise by solver and number of network evaluations. DDPM and SDE-DPM++ 2M \
                  draw noise at every step. The other solvers are deterministic and approximate the same flow."
            .into(),
        equation: "dx̂/dσ̂ = (x̂ − x̂_0)/σ̂,  x̂ = x_t/√ᾱ_t,  σ̂ = √(1 − ᾱ_t)/√ᾱ_t",
        note: "Columns: number of network evaluations. The same place in every block started from the same noise.",
    };
    blocks::draw(words, "calls", calls, samplers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn draws_and_refuses() {
        let images = Array4::<u8>::from_elem((4, 8, 8, 1), 90);
        let row = |name, count: usize| SamplerBlocks { name, blocks: vec![images.view(); count] };
        let draw = || solvers(&[5, 10], &[row("DDIM", 2), row("UniPC", 2)]);
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert!(matches!(solvers(&[5], &[row("DDIM", 2)]), Err(FiguresError::Mismatch { .. })));
    }
}
