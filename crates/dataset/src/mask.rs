//! Converts a black and white image to a mask.

use ndarray::{Array2, ArrayView3, Axis};

use crate::error::DatasetError;
use crate::image_file::resize;

/// Grey values from this on count as white.
const WHITE: u8 = 128;

/// Converts a grey image `[h, w, 1]` to a mask of `height` x `width` (1..=4096 each). The image is resized as in
/// [`resize`]; the mask is true where it is white rather than black (128 or more).
///
/// # Errors
/// [`DatasetError::Shape`] for another number of channels or an empty image; [`DatasetError::BadOption`] for a side out
/// of range.
///
/// ```
/// let image = ndarray::array![[[0_u8], [127], [128], [255]]];
/// assert_eq!(dataset::to_mask(image.view(), 1, 4)?, ndarray::array![[false, false, true, true]]);
/// # Ok::<(), dataset::DatasetError>(())
/// ```
pub fn to_mask(image: ArrayView3<'_, u8>, height: usize, width: usize) -> Result<Array2<bool>, DatasetError> {
    let (rows, columns, channels) = image.dim();
    if channels != 1 {
        let expected = vec![rows, columns, 1];
        return Err(DatasetError::Shape { what: "mask", expected, got: image.shape().to_vec() });
    }
    let image = resize(image, height, width)?;
    Ok(image.index_axis(Axis(2), 0).mapv(|grey| grey >= WHITE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn the_mask_has_the_requested_size() {
        let half = Array3::from_shape_fn((8, 8, 1), |(_, x, _)| if x < 4 { 0 } else { 255 });
        for (height, width) in [(8, 8), (4, 4), (2, 2), (16, 16)] {
            let mask = to_mask(half.view(), height, width).unwrap();
            assert_eq!(mask.dim(), (height, width));
            assert!(mask.indexed_iter().all(|((_, x), &white)| white == (x >= width / 2)), "{mask}");
        }
    }

    #[test]
    fn colour_and_invalid_sizes_are_refused() {
        assert!(matches!(to_mask(Array3::zeros((2, 2, 3)).view(), 2, 2), Err(DatasetError::Shape { .. })));
        assert!(matches!(to_mask(Array3::zeros((0, 2, 1)).view(), 2, 2), Err(DatasetError::Shape { .. })));
        assert!(matches!(
            to_mask(Array3::zeros((2, 2, 1)).view(), 0, 2),
            Err(DatasetError::BadOption { .. })
        ));
    }
}
