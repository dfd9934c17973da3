//! Smaller images: means of blocks of pixels.

use ndarray::{Array3, ArrayView3};

/// The mean of a block of `h` x `w` pixels, rounded to the nearest.
pub(crate) fn mean(
    image: &ArrayView3<'_, u8>,
    (row, column, channel): (usize, usize, usize),
    (h, w): (usize, usize),
) -> u8 {
    let pixels = (0..h * w).map(|i| image[[row * h + i / w, column * w + i % w, channel]]);
    let sum: usize = pixels.map(usize::from).sum();
    ((sum + h * w / 2) / (h * w)) as u8
}

/// Pixels of a side that is made `factor` times smaller, at least one.
pub(crate) fn shrunk_side(side: usize, factor: usize) -> usize {
    (side / factor.max(1)).max(1)
}

/// An image made `factor` times smaller; one smaller than the factor becomes a pixel.
pub(crate) fn shrunk(image: &ArrayView3<'_, u8>, factor: usize) -> Array3<u8> {
    let (height, width, channels) = image.dim();
    let (h, w) = (shrunk_side(height, factor), shrunk_side(width, factor));
    Array3::from_shape_fn((h, w, channels), |place| mean(image, place, (height / h, width / w)))
}

#[cfg(test)]
mod tests {
    use super::shrunk;
    use ndarray::Array3;

    #[test]
    fn blocks_become_their_means() {
        let image = Array3::from_shape_vec((2, 4, 1), vec![0, 1, 10, 10, 2, 4, 20, 21]).unwrap();
        assert_eq!(shrunk(&image.view(), 1), image);
        assert_eq!(shrunk(&image.view(), 2).into_raw_vec_and_offset().0, [2, 15]);
        // 68 / 8 is 8.5.
        assert_eq!(shrunk(&image.view(), 9).into_raw_vec_and_offset().0, [9]);
    }
}
