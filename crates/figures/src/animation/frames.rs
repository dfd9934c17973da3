//! Grids as frames of an animation.

use ndarray::{Array4, ArrayView5, Axis};

use crate::check;
use crate::error::FiguresError;

/// The images `[frames, n, h, w, c]` (u8, `c` 1 or 3) of each frame in a grid, as frames of an [`crate::Animation`],
/// `[frames, .., .., c]`. Each frame is laid out as [`crate::grid()`] lays out its images at scale 1, with as many
/// channels as the images have.
///
/// # Errors
/// [`FiguresError::Empty`] when there is no image or `columns` is 0; [`FiguresError::Channels`] when `c` is
/// neither 1 nor 3.
pub fn grid_frames(
    images: ArrayView5<'_, u8>,
    columns: usize,
    gap: usize,
) -> Result<Array4<u8>, FiguresError> {
    check::images("the images", &images.view().into_dyn())?;
    if columns == 0 {
        return Err(FiguresError::Empty { what: "a row" });
    }
    let (frames, n, height, width, channels) = images.dim();
    let columns = columns.min(n);
    let (pitch_y, pitch_x) = (height + gap, width + gap);
    let size = (frames, n.div_ceil(columns) * pitch_y - gap, columns * pitch_x - gap, channels);
    let mut grids = Array4::from_elem(size, u8::MAX);
    for (index, moments) in images.axis_iter(Axis(1)).enumerate() {
        let (top, left) = (index / columns * pitch_y, index % columns * pitch_x);
        let mut place = grids.slice_axis_mut(Axis(1), (top..top + height).into());
        place.slice_axis_mut(Axis(2), (left..left + width).into()).assign(&moments);
    }
    Ok(grids)
}

#[cfg(test)]
mod tests {
    use super::grid_frames;
    use crate::error::FiguresError;
    use ndarray::Array5;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_grid() {
        let images = |n, c| Array5::<u8>::zeros((2, n, 4, 4, c));
        assert!(matches!(grid_frames(images(0, 1).view(), 2, 1), Err(FiguresError::Empty { .. })));
        assert!(matches!(grid_frames(images(3, 1).view(), 0, 1), Err(FiguresError::Empty { .. })));
        assert!(matches!(grid_frames(images(3, 2).view(), 2, 1), Err(FiguresError::Channels { got: 2 })));
    }

    proptest! {
        #[test]
        fn each_frame_is_the_grid_of_its_images(
            frames in 1_usize..4, n in 1_usize..9, h in 1_usize..5, w in 1_usize..5, rgb: bool,
            columns in 1_usize..6, gap in 0_usize..4,
        ) {
            let channels = if rgb { 3 } else { 1 };
            let images = Array5::from_shape_fn((frames, n, h, w, channels), |(t, i, y, x, c)| {
                (t * 89 + i * 61 + y * 17 + x * 7 + c * 3) as u8
            });
            let grids = grid_frames(images.view(), columns, gap).unwrap();
            for (frame, images) in grids.outer_iter().zip(images.outer_iter()) {
                let canvas = crate::grid(images, columns, 1, gap).unwrap();
                let (height, width, _) = frame.dim();
                prop_assert_eq!((canvas.width(), canvas.height()), (width, height));
                for ((y, x, c), value) in frame.indexed_iter() {
                    prop_assert_eq!(*value, canvas.pixels().get_pixel(x as u32, y as u32).0[c]);
                }
            }
        }
    }
}
