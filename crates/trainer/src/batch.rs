//! Batches from arrays, for programs that read their images without libtorch.

use ndarray::{ArrayView4, Axis};
use tch::Tensor;

use crate::error::TrainerError;
use crate::step::Batch;

impl Batch {
    /// Images from an array `[b, c, h, w]`, f32 in [-1, 1], as `dataset::Batch` has them. A conditional network needs
    /// `labels`, one for each image.
    ///
    /// # Errors
    /// [`TrainerError::LabelCount`]; errors from libtorch, such as lack of memory.
    ///
    /// ```
    /// let images = trainer::ndarray::Array4::<f32>::zeros((2, 3, 8, 8));
    /// let batch = trainer::Batch::from_array(images.view(), Some(&[0, 1]))?;
    /// assert_eq!(batch.images.size(), [2, 3, 8, 8]);
    /// # Ok::<(), trainer::TrainerError>(())
    /// ```
    pub fn from_array(images: ArrayView4<'_, f32>, labels: Option<&[i64]>) -> Result<Self, TrainerError> {
        let labels = labels_of(images.len_of(Axis(0)), labels)?;
        Ok(Self { images: tensor_io::from_array(&images.into_dyn())?, labels })
    }

    /// The same from pixels `[b, h, w, c]`, 0 to 255.
    ///
    /// # Errors
    /// As for [`Batch::from_array`].
    pub fn from_pixels(pixels: ArrayView4<'_, u8>, labels: Option<&[i64]>) -> Result<Self, TrainerError> {
        let labels = labels_of(pixels.len_of(Axis(0)), labels)?;
        Ok(Self { images: tensor_io::from_pixels(&pixels)?, labels })
    }
}

/// The labels as a tensor `[b]`.
fn labels_of(images: usize, labels: Option<&[i64]>) -> Result<Option<Tensor>, TrainerError> {
    let Some(labels) = labels else { return Ok(None) };
    if labels.len() != images {
        return Err(TrainerError::LabelCount { images, labels: labels.len() });
    }
    Ok(Some(tensor_io::from_slice(labels, &[images as i64])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;
    use tch::Kind;

    #[test]
    fn images_and_labels_keep_their_values() {
        let images =
            Array4::from_shape_fn((3, 2, 4, 5), |(i, k, y, x)| (i * 40 + k * 20 + y * 5 + x) as f32 / 120.0);
        let batch = Batch::from_array(images.view(), Some(&[7, -1, 0])).unwrap();
        assert_eq!(tensor_io::to_array(&batch.images).unwrap(), images.view().into_dyn());
        let labels = batch.labels.unwrap();
        assert_eq!((labels.kind(), labels.size()), (Kind::Int64, vec![3]));
        assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [7, -1, 0]);
        assert!(Batch::from_array(images.view(), None).unwrap().labels.is_none());
    }

    /// The two crates that convert pixels agree bit for bit, in both directions.
    #[test]
    fn pixels_convert_as_in_the_crate_dataset() {
        let pixels =
            Array4::from_shape_fn((2, 8, 16, 3), |(i, y, x, k)| (i * 128 + y * 16 + x + 50 * k) as u8);
        let batch = Batch::from_pixels(pixels.view(), None).unwrap();
        let expected = dataset::to_model(pixels.view());
        assert_eq!(tensor_io::to_array(&batch.images).unwrap(), expected.view().into_dyn());
        let moved = expected.mapv(|value| 1.1 * value + 0.003);
        let back = tensor_io::to_pixels(&tensor_io::from_array(&moved.view().into_dyn()).unwrap()).unwrap();
        assert_eq!(back, dataset::from_model(moved.view()));
    }

    #[test]
    fn every_image_needs_a_label() {
        let pixels = Array4::zeros((2, 4, 4, 1));
        let lists: [&[i64]; 3] = [&[], &[1], &[1, 2, 3]];
        for labels in lists {
            let error = Batch::from_pixels(pixels.view(), Some(labels)).unwrap_err();
            let expected = format!("expected 2 labels, one for each image, found {}", labels.len());
            assert_eq!(error.to_string(), expected);
        }
    }
}
