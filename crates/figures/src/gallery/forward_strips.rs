//! Figure 2: data turning into noise (Ho et al. 2020, Eq. 4).

use ndarray::ArrayView5;

use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::time_columns;
use crate::sheet::Sheet;

/// The same images at several t.
#[derive(Debug, Clone)]
pub struct Strip<'a> {
    /// What is special about these t, such as "every 100 steps".
    pub heading: &'a str,
    /// The t of each column.
    pub times: &'a [usize],
    /// Noisy images, `[images, times, h, w, c]`.
    pub images: ArrayView5<'a, u8>,
}

/// Images at rising t, one row per image; the strips' blocks lie below each other.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when `times` and `images` differ,
/// [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn forward_strips(strips: &[Strip<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the strips", strips)?;
    let words = Words {
        name: "02-forward",
        title: "Forward process: images by timestep",
        caption: "Each row is one image, diffused in one jump to the t above the column, with new noise for every t.".into(),
        equation: "q(x_t | x_0) = N(x_t; √ᾱ_t x_0, (1 − ᾱ_t) I)\n\
                   x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε,  ε ~ N(0, I)",
        note: "Rows: images. Columns: timestep t, counted from 0.",
    };
    let mut page = words.page();
    for strip in strips {
        check::length("times of a strip", strip.images.dim().1, strip.times.len())?;
        let sheet = Sheet::new(strip.images.view()).columns(time_columns(strip.times)).corner("t");
        page = page.section(strip.heading, sheet.in_page().draw()?);
    }
    let picture = page.draw()?;
    words.figure(&picture)
}

#[cfg(test)]
mod tests {
    use super::{Strip, forward_strips};
    use crate::error::FiguresError;
    use ndarray::Array5;

    #[test]
    fn draws_and_refuses() {
        let images = Array5::<u8>::from_elem((2, 3, 8, 8, 1), 90);
        let strip = |times| Strip { heading: "some", times, images: images.view() };
        let figure = forward_strips(&[strip(&[0, 50, 99])]).unwrap();
        assert_eq!(figure, forward_strips(&[strip(&[0, 50, 99])]).unwrap());
        assert_ne!(figure.png, forward_strips(&[strip(&[0, 50, 98])]).unwrap().png);
        assert!(matches!(forward_strips(&[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(
            forward_strips(&[strip(&[0, 50])]),
            Err(FiguresError::Mismatch { expected: 3, got: 2, .. })
        ));
    }
}
