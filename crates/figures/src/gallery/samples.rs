//! Figure 7: images from noise (Ho et al. 2020, Algorithm 2).

use ndarray::ArrayView4;

use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::grid::square_columns;
use crate::rows::{blanks, in_rows};
use crate::sheet::Sheet;

/// Samples `[n, h, w, c]` in a grid.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn samples(images: ArrayView4<'_, u8>) -> Result<Figure, FiguresError> {
    check::images("the samples", &images.view().into_dyn())?;
    let words = Words {
        name: "07-samples",
        title: "Samples",
        caption: "Images sampled from pure noise with the averaged (EMA) weights; not selected.".into(),
        equation: "x_{t−1} = (x_t − β_t/√(1 − ᾱ_t) ε_θ(x_t, t)) / √α_t + σ_t z,  z ~ N(0, I)",
        note: "Every image from its own noise; none was selected.",
    };
    let rows = in_rows(&images, columns(images.dim().0));
    words.sheet(Sheet::new(rows.view()).without(blanks(images.dim().0, rows.dim().1, 0)))
}

/// Columns for `n` images: full rows if that leaves the grid between square and twice as wide as high.
fn columns(n: usize) -> usize {
    let (square, wide) = (square_columns(n), square_columns(2 * n));
    (square..=wide).rev().find(|columns| n.is_multiple_of(*columns)).unwrap_or(wide)
}

#[cfg(test)]
mod tests {
    use super::{columns, samples};
    use crate::error::FiguresError;
    use ndarray::Array4;

    #[test]
    fn rows_are_full_where_they_can_be() {
        assert_eq!([1, 32, 60, 64, 17].map(columns), [1, 8, 10, 8, 6]);
    }

    #[test]
    fn draws_and_refuses() {
        for n in [1, 3, 32] {
            let images = Array4::<u8>::from_elem((n, 6, 6, 3), 9);
            assert_eq!(samples(images.view()).unwrap(), samples(images.view()).unwrap());
        }
        assert!(matches!(samples(Array4::zeros((0, 6, 6, 1)).view()), Err(FiguresError::Empty { .. })));
        assert!(matches!(
            samples(Array4::zeros((4, 6, 6, 2)).view()),
            Err(FiguresError::Channels { got: 2 })
        ));
    }
}
