//! Strips of the reverse process: each image at several t, and under it the predicted `x_0`.

use ndarray::ArrayView5;

use crate::band::Band;
use crate::canvas::Canvas;
use crate::check;
use crate::error::FiguresError;
use crate::rows::alternate;
use crate::sheet::Sheet;

/// The least pixels of an image in a strip: enough to see it, and for the label "sample".
const LEAST_CELL: usize = 56;
/// White around the strip.
const MARGIN: usize = 16;

/// For each image, its `x_t` and under it the `x_0` predicted from that `x_t`, labelled with t. `x_t` and `x_0`
/// are `[images, times, h, w, c]`, u8; `times` falls, each in `0..T`, or -1 for the finished images: no step is
/// left.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when `times` does not fit, [`FiguresError::NotFinite`],
/// [`FiguresError::Shape`] when the arrays differ, [`FiguresError::Channels`], [`FiguresError::TooLarge`].
///
/// ```
/// let (x_t, x_0) = (ndarray::Array5::zeros((2, 3, 28, 28, 1)), ndarray::Array5::zeros((2, 3, 28, 28, 1)));
/// let strip = figures::denoising_strip(&[999.0, 499.0, -1.0], x_t.view(), x_0.view())?;
/// assert!(strip.height() > 4 * 28);
/// # Ok::<(), figures::FiguresError>(())
/// ```
pub fn denoising_strip(
    times: &[f64],
    x_t: ArrayView5<'_, u8>,
    x_0: ArrayView5<'_, u8>,
) -> Result<Canvas, FiguresError> {
    check::finite("times", times.iter().copied())?;
    let columns = times.iter().map(|&t| Band::new(time_label(t))).collect();
    pairs(columns, Some(LEAST_CELL), &x_t, &x_0)?.with_margin(MARGIN)
}

/// The rows of [`denoising_strip`] under any labels: the images enlarged to `least` pixels or more, or as fits the page of
/// a figure.
pub(crate) fn pairs(
    columns: Vec<Band>,
    least: Option<usize>,
    x_t: &ArrayView5<'_, u8>,
    x_0: &ArrayView5<'_, u8>,
) -> Result<Canvas, FiguresError> {
    check::length("times", x_t.dim().1, columns.len())?;
    let rows = alternate("the predicted images", x_t, x_0)?;
    let bands = (0..x_t.dim().0).flat_map(|image| {
        let first = Band::new("xₜ");
        [if image == 0 { first } else { first.apart() }, Band::new("predicted x₀")]
    });
    let sheet = Sheet::new(rows.view()).rows(bands).columns(columns).corner("t");
    let Some(least) = least else { return sheet.in_page().draw() };
    let (_, _, height, width, _) = rows.dim();
    let scale = sheet.layout()?.scale.max(least.div_ceil(height.max(width)));
    sheet.scale(scale).draw()
}

/// Solvers may stop between two steps of the chain; to tell the columns apart, one digit is enough.
fn time_label(t: f64) -> String {
    if t < 0.0 {
        "sample".to_owned()
    } else if t.fract() == 0.0 || t >= 100.0 {
        format!("{t:.0}")
    } else {
        format!("{t:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::{MARGIN, denoising_strip, time_label};
    use crate::error::FiguresError;
    use ndarray::Array5;

    #[test]
    fn labels_are_short() {
        let labels = [999.0, 499.6, 20.0, 19.25, 0.04, 0.0, -1.0].map(time_label);
        assert_eq!(labels, ["999", "500", "20", "19.2", "0.0", "0", "sample"]);
    }

    /// Under each row of `x_t` lies its row of `x_0`.
    #[test]
    fn rows_lie_in_turn() {
        let x_t = Array5::from_shape_fn((2, 3, 8, 8, 1), |(n, k, ..)| 10 * (n * 3 + k + 1) as u8);
        let x_0 = x_t.mapv(|value| value + 100);
        let strip = denoising_strip(&[9.0, 5.5, -1.0], x_t.view(), x_0.view()).unwrap();
        // The right column is free of labels below its head; its images are uniform.
        let column = (0..strip.height())
            .map(|y| strip.pixels().get_pixel((strip.width() - MARGIN - 2) as u32, y as u32).0[0]);
        let mut seen: Vec<u8> = column.skip(40 + MARGIN).filter(|&value| value != 255).collect();
        seen.dedup();
        assert_eq!(seen, [30, 130, 60, 160]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let x = Array5::<u8>::zeros((2, 3, 8, 8, 1));
        let strip = |times: &[f64], x_0: &Array5<u8>| denoising_strip(times, x.view(), x_0.view());
        assert!(matches!(strip(&[1.0, 0.0], &x), Err(FiguresError::Mismatch { expected: 3, got: 2, .. })));
        let nan = strip(&[2.0, f64::NAN, 0.0], &x);
        assert!(matches!(nan, Err(FiguresError::NotFinite { index: 1, .. })));
        let other = Array5::<u8>::zeros((2, 3, 8, 9, 1));
        assert!(matches!(strip(&[2.0, 1.0, 0.0], &other), Err(FiguresError::Shape { .. })));
        let none = Array5::<u8>::zeros((0, 3, 8, 8, 1));
        let empty = denoising_strip(&[2.0, 1.0, 0.0], none.view(), none.view());
        assert!(matches!(empty, Err(FiguresError::Empty { .. })));
    }
}
