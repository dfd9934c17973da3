//! Converts pixels to model values and back, for programs that have their images as arrays: `x = p / 127.5 - 1`, as in
//! the crate `dataset`.

use ndarray::{Array4, ArrayView4, Ix4};
use tch::Tensor;

use crate::{TensorIoError, from_array, to_array};

/// A CPU tensor `[b, c, h, w]`, f32 in [-1, 1], of pixels `[b, h, w, c]`.
///
/// # Errors
/// Only errors from libtorch, such as lack of memory.
///
/// ```
/// let pixels = tensor_io::ndarray::Array4::from_shape_vec((1, 1, 2, 1), vec![0_u8, 255])?;
/// let x = tensor_io::from_pixels(&pixels.view())?;
/// assert_eq!(tensor_io::to_vec(&x)?, [-1.0, 1.0]);
/// assert_eq!(tensor_io::to_pixels(&x)?, pixels);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_pixels(pixels: &ArrayView4<'_, u8>) -> Result<Tensor, TensorIoError> {
    let values = pixels.mapv(|pixel| f32::from(pixel) / 127.5 - 1.0);
    from_array(&values.view().permuted_axes([0, 3, 1, 2]).into_dyn())
}

/// The pixels `[b, h, w, c]` of images `[b, c, h, w]` on any device: rounds to the nearest, clamps values beyond [-1, 1],
/// and maps NaN to 0.
///
/// # Errors
/// [`TensorIoError::Images`] for a tensor that does not have four dimensions; errors from libtorch.
pub fn to_pixels(images: &Tensor) -> Result<Array4<u8>, TensorIoError> {
    let wrong = |_| TensorIoError::Images { got: images.size() };
    let values = to_array(images)?.into_dimensionality::<Ix4>().map_err(wrong)?;
    let interleaved = values.permuted_axes([0, 2, 3, 1]); // [b, h, w, c]
    let mut pixels = Array4::zeros(interleaved.raw_dim());
    // A float-to-integer `as` saturates and turns NaN into 0.
    pixels.zip_mut_with(&interleaved, |pixel, &value| *pixel = ((value + 1.0) * 127.5).round() as u8);
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn every_pixel_has_its_value_and_comes_back() {
        let pixels = Array4::from_shape_fn((1, 256, 1, 1), |(_, y, _, _)| y as u8);
        let x = from_pixels(&pixels.view()).unwrap();
        assert_eq!((x.size(), x.kind()), (vec![1, 1, 256, 1], Kind::Float));
        for (pixel, value) in crate::to_vec(&x).unwrap().into_iter().enumerate() {
            assert_eq!(value, pixel as f32 / 127.5 - 1.0);
        }
        assert_eq!(to_pixels(&x).unwrap(), pixels);
    }

    #[test]
    fn axes_move_together() {
        let pixels = Array4::from_shape_fn((2, 3, 4, 3), |(i, y, x, k)| (i * 64 + y * 16 + x * 4 + k) as u8);
        let values = to_array(&from_pixels(&pixels.view()).unwrap()).unwrap();
        assert_eq!(values.shape(), [2, 3, 3, 4]);
        for ((i, y, x, k), &pixel) in pixels.indexed_iter() {
            assert_eq!(values[[i, k, y, x]], f32::from(pixel) / 127.5 - 1.0);
        }
        // A view in another layout, mirrored here, is converted in its logical order.
        let mut mirrored = pixels.view();
        mirrored.invert_axis(ndarray::Axis(2));
        let back = to_pixels(&from_pixels(&mirrored).unwrap()).unwrap();
        assert_eq!(back, mirrored);
        assert!(back.is_standard_layout());
    }

    #[test]
    fn out_of_range_is_clamped_and_nan_is_zero() {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -1.5, 0.0];
        let images = crate::from_slice(&values, &[1, 1, 1, 6]).unwrap();
        assert_eq!(to_pixels(&images).unwrap().into_raw_vec_and_offset().0, [0, 255, 0, 255, 0, 128]);
    }

    #[test]
    fn anything_but_a_batch_of_images_is_refused() {
        let shapes: [&[i64]; 4] = [&[], &[4], &[3, 8, 8], &[1, 1, 3, 8, 8]];
        for shape in shapes {
            let error = to_pixels(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).unwrap_err();
            assert!(matches!(&error, TensorIoError::Images { got } if got == shape), "{error}");
        }
    }
}
