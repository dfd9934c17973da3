//! Figure 15: classifier-free guidance by class and guidance scale (Ho & Salimans 2022).

use ndarray::{Array5, ArrayView4, Axis};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::sheet::Sheet;

/// Samples of one class at every scale.
#[derive(Debug, Clone)]
pub struct ClassBlocks<'a> {
    /// The name of the class.
    pub name: &'a str,
    /// Samples `[n, h, w, c]` by guidance scale; the same place has the same starting noise.
    pub blocks: Vec<ArrayView4<'a, u8>>,
}

/// One row per class, one column per guidance scale, a few images in each.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when a class does not have one block for each of `scales`,
/// [`FiguresError::Shape`] when blocks differ, [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn guidance(scales: &[f64], classes: &[ClassBlocks<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the guidance scales", scales)?;
    check::not_empty("the classes", classes)?;
    let shape = classes[0].blocks.first().map_or(&[][..], |block| block.shape()).to_vec();
    for class in classes {
        check::length("blocks of a class", scales.len(), class.blocks.len())?;
        for block in &class.blocks {
            check::images("a block", &block.view().into_dyn())?;
            check::shape("a block", &shape, block.shape())?;
        }
    }
    let words = Words {
        name: "15-guidance",
        title: "Classifier-free guidance",
        caption: "Rows: classes. Columns: guidance scale w. At w = 1 the samples are conditional; beyond it the difference to \
                  the unconditional prediction is amplified. The same place in every block started from the same noise."
            .into(),
        equation: "ε̂ = ε_θ(x_t, t) + w (ε_θ(x_t, t, c) − ε_θ(x_t, t))",
        note: "Columns: guidance scale w. Not selected.",
    };
    let [n, h, w, c] = [0, 1, 2, 3].map(|axis| shape[axis]);
    let mut cells = Array5::from_elem((classes.len(), scales.len() * n, h, w, c), 255_u8);
    for (class, mut row) in classes.iter().zip(cells.outer_iter_mut()) {
        let images = class.blocks.iter().flat_map(|block| block.outer_iter());
        for (image, mut cell) in images.zip(row.axis_iter_mut(Axis(0))) {
            cell.assign(&image);
        }
    }
    let columns = scales.iter().enumerate().map(|(index, scale)| {
        let band = Band::new(scale.to_string()).spanning(n);
        if index == 0 { band } else { band.apart() }
    });
    let sheet = Sheet::new(cells.view())
        .rows(classes.iter().map(|class| Band::new(class.name)))
        .columns(columns)
        .corner("w");
    words.sheet(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn draws_and_refuses() {
        let images = Array4::<u8>::from_elem((2, 8, 8, 1), 90);
        let class = |name, count: usize| ClassBlocks { name, blocks: vec![images.view(); count] };
        let draw = || guidance(&[1.0, 2.5], &[class("Sandal", 2), class("Bag", 2)]);
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert!(matches!(guidance(&[], &[class("Bag", 0)]), Err(FiguresError::Empty { .. })));
        assert!(matches!(guidance(&[1.0], &[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(guidance(&[1.0], &[class("Bag", 2)]), Err(FiguresError::Mismatch { .. })));
        let large = Array4::<u8>::zeros((2, 9, 9, 1));
        let uneven = ClassBlocks { name: "Bag", blocks: vec![images.view(), large.view()] };
        assert!(matches!(guidance(&[1.0, 2.0], &[uneven]), Err(FiguresError::Shape { .. })));
    }
}
