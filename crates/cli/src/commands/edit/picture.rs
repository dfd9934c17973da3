//! The grid of an edit: what it started from, and what came out, under labels.

use figures::{Band, Canvas, Sheet};
use ndarray::{Array4, Array5, ArrayView3, Axis};

use crate::output;

/// Results in a row, if there are as many, where a square would be narrower.
const ACROSS: usize = 4;

/// The images of `before` with their labels, and to the right of them the results, all enlarged by a whole factor if they
/// are small. There is one row for each of `classes`, if all have equally many results.
pub(crate) fn labelled(
    before: &[(&str, ArrayView3<'_, u8>)],
    results: &Array4<u8>,
    classes: usize,
) -> anyhow::Result<Canvas> {
    let (count, height, width, channels) = results.dim();
    let (across, order) = match output::class_rows(count, classes) {
        (columns, None) => (columns.max(count.min(ACROSS)), None),
        rows => rows,
    };
    // Places without an image stay white.
    let shape = (count.div_ceil(across), before.len() + across, height, width, channels);
    let mut cells = Array5::from_elem(shape, 255_u8);
    for (column, (_, image)) in before.iter().enumerate() {
        cells.index_axis_mut(Axis(0), 0).index_axis_mut(Axis(0), column).assign(image);
    }
    for place in 0..count {
        let image = order.as_ref().map_or(place, |order| order[place]);
        let (row, column) = (place / across, before.len() + place % across);
        let mut cells = cells.index_axis_mut(Axis(0), row);
        cells.index_axis_mut(Axis(0), column).assign(&results.index_axis(Axis(0), image));
    }
    let drawn = Band::new(if count == 1 { "result" } else { "results" }).spanning(across).apart();
    let columns = before.iter().map(|(label, _)| Band::new(*label)).chain([drawn]);
    Ok(Sheet::new(cells.view()).columns(columns).draw()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::Fit;
    use ndarray::{Array3, array};

    /// Pixels of a grid of images of 8x8, which are drawn 64 wide, `[y, x, 1]`.
    fn drawn(before: &[(&str, ArrayView3<'_, u8>)], results: &Array4<u8>, classes: usize) -> Array3<u8> {
        let png = labelled(before, results, classes).unwrap().png().unwrap();
        dataset::parse_image("grid.png", &png, None, Some(1), Fit::Crop).unwrap()
    }

    fn results(count: usize) -> Array4<u8> {
        Array4::from_shape_fn((count, 8, 8, 1), |(n, ..)| 10 * n as u8)
    }

    #[test]
    fn each_image_is_below_its_label() {
        let (original, given) = (Array3::from_elem((8, 8, 1), 101), Array3::from_elem((8, 8, 1), 202));
        let before = [("original", original.view()), ("given", given.view())];
        let grid = drawn(&before, &results(6), 0);
        let (height, width, _) = grid.dim();
        // Six images across, four of them results; a wide gap before those.
        assert_eq!(width, 6 * 64 + 4 * 4 + 26);
        let top = height - (2 * 64 + 4);
        assert!(top > 10, "no room for labels in {height} rows");
        let at = |row: usize, x: usize| grid[[top + row * 68 + 32, x, 0]];
        let x = [32, 100, 190, 258, 326, 394];
        assert_eq!(x.map(|x| at(0, x)), [101, 202, 0, 10, 20, 30]);
        assert_eq!(x.map(|x| at(1, x)), [255, 255, 40, 50, 255, 255]);
        // Both labels, and that of the results, are above their images.
        for columns in [0..64, 68..132, 158..426] {
            let dark = columns.clone().any(|x| (0..top).any(|y| grid[[y, x, 0]] < 128));
            assert!(dark, "nothing above {columns:?}");
        }
    }

    #[test]
    fn a_row_holds_one_class() {
        let original = Array3::from_elem((8, 8, 1), 101);
        let grid = drawn(&[("original", original.view())], &results(6), 2);
        let (height, width, _) = grid.dim();
        assert_eq!(width, 4 * 64 + 2 * 4 + 26);
        let at = |row: usize, x: usize| grid[[height - 132 + row * 68 + 32, x, 0]];
        let rows = array![[0, 20, 40], [10, 30, 50]];
        for ((row, column), want) in rows.indexed_iter() {
            assert_eq!(at(row, 64 + 26 + column * 68 + 32), *want, "{row}, {column}");
        }
    }
}
