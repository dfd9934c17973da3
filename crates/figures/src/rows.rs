//! Images brought into the rows of a sheet.

use ndarray::{Array5, ArrayView4, ArrayView5, Axis};

use crate::check;
use crate::error::FiguresError;

/// The rows of two arrays `[n, k, h, w, c]` in turn, as `[2 n, k, h, w, c]`.
pub(crate) fn alternate(
    what: &'static str,
    first: &ArrayView5<'_, u8>,
    second: &ArrayView5<'_, u8>,
) -> Result<Array5<u8>, FiguresError> {
    check::shape(what, first.shape(), second.shape())?;
    let (n, k, h, w, c) = first.dim();
    let mut rows = Array5::zeros((2 * n, k, h, w, c));
    let sources = first.outer_iter().zip(second.outer_iter()).flat_map(|(first, second)| [first, second]);
    for (mut row, source) in rows.outer_iter_mut().zip(sources) {
        row.assign(&source);
    }
    Ok(rows)
}

/// Images `[n, h, w, c]` in rows of `columns`: `[rows, columns, h, w, c]`, white after the last.
pub(crate) fn in_rows(images: &ArrayView4<'_, u8>, columns: usize) -> Array5<u8> {
    let (n, h, w, c) = images.dim();
    let columns = columns.clamp(1, n.max(1));
    let mut rows = Array5::from_elem((n.div_ceil(columns), columns, h, w, c), 255);
    for (index, image) in images.outer_iter().enumerate() {
        rows.index_axis_mut(Axis(0), index / columns).index_axis_mut(Axis(0), index % columns).assign(&image);
    }
    rows
}

/// The places after the last of `count` images in rows of `columns`, each a row and a column; rows count from `first`.
pub(crate) fn blanks(count: usize, columns: usize, first: usize) -> impl Iterator<Item = (usize, usize)> {
    let columns = columns.max(1);
    (count..count.next_multiple_of(columns)).map(move |index| (first + index / columns, index % columns))
}

#[cfg(test)]
mod tests {
    use super::{blanks, in_rows};
    use ndarray::Array4;

    #[test]
    fn the_last_row_is_filled_up() {
        let images = Array4::<u8>::from_elem((5, 1, 1, 1), 7);
        let rows = in_rows(&images.view(), 3);
        let empty: Vec<_> = blanks(5, rows.dim().1, 4).collect();
        assert_eq!((rows.dim(), empty), ((2, 3, 1, 1, 1), vec![(5, 2)]));
        assert_eq!(blanks(6, 3, 0).count(), 0);
    }
}
