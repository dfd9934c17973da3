//! Figure 10: variations of an image, from a start at smaller t.

use ndarray::{ArrayView4, ArrayView5, Axis, concatenate};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::sheet::Sheet;

/// Originals `[n, h, w, c]` in the first column, then their variations, diffused to each of `starts` and sampled from
/// there, `[n, starts, h, w, c]`.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Shape`] when the arrays do not fit each other,
/// [`FiguresError::Mismatch`] when `starts` does not fit, [`FiguresError::Channels`],
/// [`FiguresError::TooLarge`].
pub fn variations(
    originals: ArrayView4<'_, u8>,
    starts: &[usize],
    variations: ArrayView5<'_, u8>,
) -> Result<Figure, FiguresError> {
    let (n, h, w, c) = originals.dim();
    let columns = variations.dim().1;
    check::shape("the variations", &[n, columns, h, w, c], variations.shape())?;
    check::length("starting timesteps", columns, starts.len())?;
    let words = Words {
        name: "10-variations",
        title: "Variations of an image by starting timestep",
        caption: "Each original (left) is diffused to the t above the column and denoised from there.".into(),
        equation: "x_s ~ q(x_s | x_0),  then  x_{t−1} ~ p_θ(x_{t−1} | x_t)  for t = s, …, 1",
        note: "Rows: images. Columns: timestep t to which the original was diffused before sampling.",
    };
    let rows = concatenate![Axis(1), originals.insert_axis(Axis(1)), variations];
    let start = |(index, t): (usize, &usize)| {
        let band = Band::new(t.to_string());
        if index == 0 { band.apart() } else { band }
    };
    let bands = std::iter::once(Band::new("original")).chain(starts.iter().enumerate().map(start));
    let sheet = Sheet::new(rows.view()).columns(bands).corner("start at t");
    words.sheet(sheet)
}

#[cfg(test)]
mod tests {
    use super::variations;
    use crate::error::FiguresError;
    use ndarray::{Array4, Array5};

    #[test]
    fn draws_and_refuses() {
        let originals = Array4::<u8>::from_elem((2, 8, 8, 3), 90);
        let varied = Array5::<u8>::from_elem((2, 3, 8, 8, 3), 10);
        let draw = |starts: &[usize]| variations(originals.view(), starts, varied.view());
        assert_eq!(draw(&[10, 50, 99]).unwrap(), draw(&[10, 50, 99]).unwrap());
        assert!(matches!(draw(&[10, 50]), Err(FiguresError::Mismatch { expected: 3, got: 2, .. })));
        let fewer = Array4::<u8>::zeros((1, 8, 8, 3));
        let result = variations(fewer.view(), &[10, 50, 99], varied.view());
        assert!(matches!(result, Err(FiguresError::Shape { .. })));
        let (none, nothing) = (Array4::<u8>::zeros((0, 8, 8, 3)), Array5::<u8>::zeros((0, 3, 8, 8, 3)));
        let result = variations(none.view(), &[10, 50, 99], nothing.view());
        assert!(matches!(result, Err(FiguresError::Empty { .. })));
    }
}
