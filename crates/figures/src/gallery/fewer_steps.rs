//! Figure 11: shorter chains, by respacing (Nichol & Dhariwal 2021) and DDIM (Song et al. 2021).

use ndarray::{Array5, ArrayView4, Axis};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::sheet::Sheet;

/// Images across in the block of one sampler at one number of steps.
const BLOCK_COLUMNS: usize = 3;

/// What one sampler made.
#[derive(Debug, Clone)]
pub struct SamplerBlocks<'a> {
    /// What the row is called: "DDIM, η = 0".
    pub name: &'a str,
    /// Samples `[n, h, w, c]` by number of steps; the same place is the same starting noise.
    pub blocks: Vec<ArrayView4<'a, u8>>,
}

/// Blocks of samples, a row a sampler, a column a number of steps.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when a sampler has not one block for each of
/// `steps`, [`FiguresError::Shape`] when blocks differ, [`FiguresError::Channels`],
/// [`FiguresError::TooLarge`].
pub fn fewer_steps(steps: &[usize], samplers: &[SamplerBlocks<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the numbers of steps", steps)?;
    check::not_empty("the samplers", samplers)?;
    let shape = samplers[0].blocks.first().map_or(&[][..], |block| block.shape()).to_vec();
    for sampler in samplers {
        check::length("blocks of a sampler", steps.len(), sampler.blocks.len())?;
        for block in &sampler.blocks {
            check::images("a block", &block.view().into_dyn())?;
            check::shape("a block", &shape, block.shape())?;
        }
    }
    let words = Words {
        name: "11-fewer-steps",
        title: "Fewer steps",
        caption: "Samples from the same starting noise by number of network evaluations. DDPM draws fresh \
                  noise at every step and needs many of them; DDIM with η = 0 draws none, so that the same start \
                  leads to much the same image in every column."
                .into(),
        equation: "x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s − σ^2) ε_θ(x_t, t) + σ z,  s < t;  \
                   σ = η √((1 − ᾱ_s)/(1 − ᾱ_t)) √(1 − ᾱ_t/ᾱ_s),  η = 0 for DDIM",
        note: "Columns: number of network evaluations. The same place in every block started from the same noise.",
    };
    let [n, h, w, c] = [0, 1, 2, 3].map(|axis| shape[axis]);
    let across = BLOCK_COLUMNS.min(n);
    let down = n.div_ceil(across);
    let mut cells = Array5::from_elem((samplers.len() * down, steps.len() * across, h, w, c), 255_u8);
    for (row, sampler) in samplers.iter().enumerate() {
        for (column, block) in sampler.blocks.iter().enumerate() {
            for (index, image) in block.outer_iter().enumerate() {
                cells
                    .index_axis_mut(Axis(0), row * down + index / across)
                    .index_axis_mut(Axis(0), column * across + index % across)
                    .assign(&image);
            }
        }
    }
    let apart = |index: usize, band: Band| if index == 0 { band } else { band.apart() };
    let rows = samplers.iter().map(|sampler| Band::new(sampler.name).spanning(down));
    let columns = steps.iter().map(|steps| Band::new(steps.to_string()).spanning(across));
    let sheet = Sheet::new(cells.view())
        .rows(rows.enumerate().map(|(index, band)| apart(index, band)))
        .columns(columns.enumerate().map(|(index, band)| apart(index, band)))
        .corner("steps");
    words.sheet(&sheet)
}

#[cfg(test)]
mod tests {
    use super::{SamplerBlocks, fewer_steps};
    use crate::error::FiguresError;
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
