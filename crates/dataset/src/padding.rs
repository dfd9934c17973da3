//! Pads images to a multiple of the network's downsampling factor, and crops the output exactly back.

use ndarray::{Array, ArrayView, Axis, Dimension, Slice};

use crate::error::DatasetError;

/// Rows and columns added around an image, in pixels. 28 -> 32 is 2 on each side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns on the left.
    pub left: usize,
    /// Columns on the right.
    pub right: usize,
}

impl Padding {
    /// The padding that brings `height` and `width` up to multiples of `multiple`; an odd remainder goes below and
    /// right.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] if `multiple` is not in 1..=1024.
    pub fn to_multiple(height: usize, width: usize, multiple: usize) -> Result<Self, DatasetError> {
        if !(1..=1024).contains(&multiple) {
            return Err(DatasetError::option("pad_to_multiple", "1..=1024", multiple));
        }
        let rows = height.next_multiple_of(multiple) - height;
        let columns = width.next_multiple_of(multiple) - width;
        let (top, left) = (rows / 2, columns / 2);
        Ok(Self { top, bottom: rows - top, left, right: columns - left })
    }

    /// Whether there is no padding.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Removes the padding from an array whose height is axis `height_axis` and whose width is the next: 0 for
    /// `[h, w, c]`, 1 for `[b, h, w, c]`, 2 for `[b, c, h, w]`.
    ///
    /// # Errors
    /// [`DatasetError::Shape`] if there is no such axis or the image is not larger than its padding.
    ///
    /// ```
    /// let padding = dataset::Padding::to_multiple(28, 28, 8)?;
    /// let padded = ndarray::Array4::<f32>::zeros((5, 1, 32, 32));
    /// assert_eq!(padding.crop(padded.view(), 2)?.dim(), (5, 1, 28, 28));
    /// # Ok::<(), dataset::DatasetError>(())
    /// ```
    pub fn crop<T: Clone, D: Dimension>(
        &self,
        array: ArrayView<'_, T, D>,
        height_axis: usize,
    ) -> Result<Array<T, D>, DatasetError> {
        let shape = array.shape().to_vec();
        let extent = |axis: usize| shape.get(axis).copied().unwrap_or(0);
        let (height, width) = (extent(height_axis), extent(height_axis + 1));
        let (rows, columns) = (self.top + self.bottom, self.left + self.right);
        if height <= rows || width <= columns {
            let expected = vec![rows + 1, columns + 1];
            return Err(DatasetError::Shape { what: "image with padding, at least", expected, got: shape });
        }
        let mut view = array;
        view.slice_axis_inplace(Axis(height_axis), Slice::from(self.top..height - self.bottom));
        view.slice_axis_inplace(Axis(height_axis + 1), Slice::from(self.left..width - self.right));
        Ok(view.as_standard_layout().into_owned())
    }

    /// Copies `item` (`[height, width, channels]`, row by row) into the middle of `out`, and fills the rest with 0. The
    /// caller checks the lengths.
    pub(crate) fn place(&self, item: &[u8], width: usize, channels: usize, out: &mut [u8]) {
        out.fill(0);
        let (row, out_row) = (width * channels, (self.left + width + self.right) * channels);
        for (source, target) in item.chunks_exact(row).zip(out.chunks_exact_mut(out_row).skip(self.top)) {
            target[self.left * channels..][..row].copy_from_slice(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use proptest::prelude::*;

    #[test]
    fn twenty_eight_becomes_thirty_two() {
        let padding = Padding::to_multiple(28, 28, 8).unwrap();
        assert_eq!(padding, Padding { top: 2, bottom: 2, left: 2, right: 2 });
        assert!(Padding::to_multiple(32, 64, 8).unwrap().is_none());
        assert!(Padding::to_multiple(28, 28, 0).is_err());
        assert!(Padding::to_multiple(28, 28, 1025).is_err());
    }

    #[test]
    fn images_smaller_than_the_padding_are_refused() {
        let padding = Padding { top: 2, bottom: 2, left: 0, right: 0 };
        let image = Array3::<u8>::zeros((4, 9, 1));
        assert!(matches!(padding.crop(image.view(), 0), Err(DatasetError::Shape { .. })));
        assert!(padding.crop(image.view(), 2).is_err());
    }

    proptest! {
        #[test]
        fn crop_undoes_place(h in 1_usize..9, w in 1_usize..9, c in 1_usize..4, multiple in 1_usize..9) {
            let padding = Padding::to_multiple(h, w, multiple).unwrap();
            let item = Array3::from_shape_fn((h, w, c), |(y, x, k)| (1 + y * 27 + x * 3 + k) as u8);
            let (rows, columns) = (h.next_multiple_of(multiple), w.next_multiple_of(multiple));
            let mut out = Array3::from_elem((rows, columns, c), 77_u8);
            padding.place(item.as_slice().unwrap(), w, c, out.as_slice_mut().unwrap());
            prop_assert_eq!(&padding.crop(out.view(), 0).unwrap(), &item);
            let sum = |a: &Array3<u8>| a.iter().map(|&v| u64::from(v)).sum::<u64>();
            prop_assert_eq!(sum(&out), sum(&item));
        }
    }
}
