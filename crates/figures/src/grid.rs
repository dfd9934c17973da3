//! Images side by side without labels, as `sample` saves them.

use ndarray::{ArrayView4, Axis};

use crate::canvas::Canvas;
use crate::check;
use crate::error::FiguresError;

/// Grid of images `[n, h, w, c]` (u8, `c` 1 or 3), row by row, with `columns` images per row.
///
/// Each pixel becomes a square of `scale` pixels; `gap` white pixels lie between neighbours and none
/// outside. Places after the last image stay white.
///
/// # Errors
/// [`FiguresError::Empty`] when there is no image, or when `columns` or `scale` is 0;
/// [`FiguresError::Channels`] when `c` is neither 1 nor 3; [`FiguresError::TooLarge`].
///
/// ```
/// let images = ndarray::Array4::<u8>::zeros((6, 28, 28, 1));
/// let picture = figures::grid(images.view(), 4, 2, 3)?;
/// assert_eq!((picture.width(), picture.height()), (4 * 56 + 3 * 3, 2 * 56 + 3));
/// # Ok::<(), figures::FiguresError>(())
/// ```
pub fn grid(
    images: ArrayView4<'_, u8>,
    columns: usize,
    scale: usize,
    gap: usize,
) -> Result<Canvas, FiguresError> {
    check::images("the images", &images.view().into_dyn())?;
    if columns == 0 || scale == 0 {
        return Err(FiguresError::Empty { what: if scale == 0 { "the scale" } else { "a row" } });
    }
    let (n, height, width, _) = images.dim();
    let columns = columns.min(n);
    let side = |count: usize, size: usize| {
        let pitch = size.saturating_mul(scale).saturating_add(gap);
        count.saturating_mul(pitch).saturating_sub(gap)
    };
    let mut canvas = Canvas::new(side(columns, width), side(n.div_ceil(columns), height))?;
    for (index, image) in images.axis_iter(Axis(0)).enumerate() {
        let (row, column) = (index / columns, index % columns);
        canvas.draw_image(&image, scale, column * (width * scale + gap), row * (height * scale + gap));
    }
    Ok(canvas)
}

/// The number of columns that makes a grid of `n` images about square.
///
/// ```
/// assert_eq!([0, 1, 10, 16, 64].map(figures::square_columns), [1, 1, 4, 4, 8]);
/// ```
#[must_use]
pub fn square_columns(n: usize) -> usize {
    (1..=n).find(|columns| columns * columns >= n).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::grid;
    use crate::error::FiguresError;
    use ndarray::Array4;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_grid() {
        let images = |n, c| Array4::<u8>::zeros((n, 4, 4, c));
        assert!(matches!(grid(images(0, 1).view(), 2, 1, 0), Err(FiguresError::Empty { .. })));
        assert!(matches!(grid(images(2, 1).view(), 0, 1, 0), Err(FiguresError::Empty { .. })));
        assert!(matches!(grid(images(2, 1).view(), 2, 0, 0), Err(FiguresError::Empty { .. })));
        assert!(matches!(grid(images(2, 2).view(), 2, 1, 0), Err(FiguresError::Channels { got: 2 })));
        assert!(matches!(grid(images(2, 1).view(), 2, usize::MAX, 9), Err(FiguresError::TooLarge { .. })));
    }

    proptest! {
        /// Every pixel of every image is where the layout says, and the gaps are white.
        #[test]
        fn pixels_are_the_input(
            n in 1_usize..9, h in 1_usize..5, w in 1_usize..5, rgb: bool,
            columns in 1_usize..6, scale in 1_usize..4, gap in 0_usize..4, start: u8,
        ) {
            let channels = if rgb { 3 } else { 1 };
            let images = Array4::from_shape_fn((n, h, w, channels), |(i, y, x, c)| {
                start.wrapping_add((i * 61 + y * 17 + x * 7 + c * 3) as u8)
            });
            let canvas = grid(images.view(), columns, scale, gap).unwrap();
            let columns = columns.min(n);
            for (x, y, pixel) in canvas.pixels().enumerate_pixels() {
                let (x, y) = (x as usize, y as usize);
                let (pitch_x, pitch_y) = (w * scale + gap, h * scale + gap);
                let index = y / pitch_y * columns + x / pitch_x;
                let (row, column) = (y % pitch_y / scale, x % pitch_x / scale);
                let expected = if row < h && column < w && index < n {
                    [0, 1, 2].map(|c: usize| images[[index, row, column, c.min(channels - 1)]])
                } else {
                    [255; 3]
                };
                prop_assert_eq!(pixel.0, expected);
            }
        }
    }
}
