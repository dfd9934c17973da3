//! Checks of the data of a figure: sizes agree, nothing is empty, numbers are finite.

use ndarray::ArrayViewD;

use crate::error::FiguresError;

/// Largest magnitude an axis accepts; beyond it, tick positions lose their meaning.
const LARGEST: f64 = 1e30;

/// Refuses an empty list.
pub(crate) fn not_empty<T>(what: &'static str, items: &[T]) -> Result<(), FiguresError> {
    if items.is_empty() { Err(FiguresError::Empty { what }) } else { Ok(()) }
}

/// Refuses a list of another length.
pub(crate) fn length(what: &'static str, expected: usize, got: usize) -> Result<(), FiguresError> {
    if expected == got { Ok(()) } else { Err(FiguresError::Mismatch { what, expected, got }) }
}

/// Refuses another shape than `expected`.
pub(crate) fn shape(what: &'static str, expected: &[usize], got: &[usize]) -> Result<(), FiguresError> {
    if expected == got {
        Ok(())
    } else {
        Err(FiguresError::Shape { what, expected: expected.to_vec(), got: got.to_vec() })
    }
}

/// Accepts image arrays `[.., h, w, c]` that hold at least one pixel, with `c` 1 or 3.
pub(crate) fn images(what: &'static str, images: &ArrayViewD<'_, u8>) -> Result<(), FiguresError> {
    if images.is_empty() {
        return Err(FiguresError::Empty { what });
    }
    match images.shape().last() {
        Some(1 | 3) => Ok(()),
        other => Err(FiguresError::Channels { got: other.copied().unwrap_or(0) }),
    }
}

/// Refuses NaN, infinities, and numbers no axis can show.
pub(crate) fn finite(what: &str, values: impl IntoIterator<Item = f64>) -> Result<(), FiguresError> {
    match values.into_iter().enumerate().find(|(_, value)| value.is_nan() || value.abs() > LARGEST) {
        Some((index, got)) => Err(FiguresError::NotFinite { what: what.to_owned(), index, got }),
        None => Ok(()),
    }
}
