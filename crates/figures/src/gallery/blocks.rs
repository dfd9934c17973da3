//! Blocks of samples side by side: one row per sampler, one column per number of steps.

use ndarray::{Array5, ArrayView4, Axis};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::rows::blanks;
use crate::sheet::Sheet;

/// Images across in the block of one sampler at one number of steps.
const BLOCK_COLUMNS: usize = 3;

/// The samples of one sampler.
#[derive(Debug, Clone)]
pub struct SamplerBlocks<'a> {
    /// The label of the row, such as "DDIM, η = 0".
    pub name: &'a str,
    /// Samples `[n, h, w, c]` by number of steps; the same place has the same starting noise.
    pub blocks: Vec<ArrayView4<'a, u8>>,
}

/// The figure of all blocks, `corner` naming what `columns` count.
pub(super) fn draw(
    words: Words,
    corner: &str,
    columns: &[usize],
    samplers: &[SamplerBlocks<'_>],
) -> Result<Figure, FiguresError> {
    check::not_empty("the numbers of steps", columns)?;
    check::not_empty("the samplers", samplers)?;
    let shape = samplers[0].blocks.first().map_or(&[][..], |block| block.shape()).to_vec();
    for sampler in samplers {
        check::length("blocks of a sampler", columns.len(), sampler.blocks.len())?;
        for block in &sampler.blocks {
            check::images("a block", &block.view().into_dyn())?;
            check::shape("a block", &shape, block.shape())?;
        }
    }
    let [n, h, w, c] = [0, 1, 2, 3].map(|axis| shape[axis]);
    let across = BLOCK_COLUMNS.min(n);
    let (down, steps) = (n.div_ceil(across), columns.len());
    let mut cells = Array5::from_elem((samplers.len() * down, columns.len() * across, h, w, c), 255_u8);
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
    let places = (0..samplers.len()).flat_map(|row| (0..steps).map(move |column| (row, column)));
    let empty = places
        .flat_map(|(row, column)| blanks(n, across, row * down).map(move |(y, x)| (y, column * across + x)));
    let apart = |index: usize, band: Band| if index == 0 { band } else { band.apart() };
    let rows = samplers.iter().map(|sampler| Band::new(sampler.name).spanning(down));
    let columns = columns.iter().map(|steps| Band::new(steps.to_string()).spanning(across));
    let sheet = Sheet::new(cells.view())
        .rows(rows.enumerate().map(|(index, band)| apart(index, band)))
        .columns(columns.enumerate().map(|(index, band)| apart(index, band)))
        .corner(corner)
        .without(empty);
    words.sheet(sheet)
}
