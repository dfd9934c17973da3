//! The only conversions between pixels and model values: `x = p / 127.5 - 1` (Ho et al. 2020, section 3.3: integers in
//! 0..=255 scaled linearly to [-1, 1]).

use ndarray::{Array4, ArrayView4, Axis};

/// Converts pixels `[b, h, w, c]` to model values `[b, c, h, w]` in [-1, 1].
///
/// ```
/// let pixels = ndarray::Array4::from_shape_vec((1, 1, 2, 1), vec![0_u8, 255])?;
/// let values = dataset::to_model(pixels.view());
/// assert_eq!(values.as_slice(), Some(&[-1.0, 1.0][..]));
/// assert_eq!(dataset::from_model(values.view()), pixels);
/// # Ok::<(), ndarray::ShapeError>(())
/// ```
#[must_use]
pub fn to_model(pixels: ArrayView4<'_, u8>) -> Array4<f32> {
    let (b, h, w, c) = pixels.dim();
    let table: [f32; 256] = std::array::from_fn(|pixel| pixel as f32 / 127.5 - 1.0);
    let mut values = Array4::zeros((b, c, h, w));
    for (image, mut planes) in pixels.outer_iter().zip(values.outer_iter_mut()) {
        for (channel, mut plane) in image.axis_iter(Axis(2)).zip(planes.outer_iter_mut()) {
            plane.zip_mut_with(&channel, |value, &pixel| *value = table[usize::from(pixel)]);
        }
    }
    values
}

/// Converts model values `[b, c, h, w]` to pixels `[b, h, w, c]`: rounds to the nearest, clamps values beyond [-1, 1],
/// and maps NaN to 0.
#[must_use]
pub fn from_model(values: ArrayView4<'_, f32>) -> Array4<u8> {
    let (b, c, h, w) = values.dim();
    let interleaved = values.permuted_axes([0, 2, 3, 1]); // [b, h, w, c]
    let mut pixels = Array4::zeros((b, h, w, c));
    // A float-to-integer `as` saturates and turns NaN into 0.
    pixels.zip_mut_with(&interleaved, |pixel, &value| *pixel = ((value + 1.0) * 127.5).round() as u8);
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;
    use proptest::prelude::*;

    #[test]
    fn all_values_round_trip_and_stay_in_range() {
        let pixels = Array4::from_shape_fn((1, 256, 1, 1), |(_, y, _, _)| y as u8);
        let values = to_model(pixels.view());
        assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)));
        assert!(values.iter().zip(values.iter().skip(1)).all(|(a, b)| a < b));
        assert_eq!(from_model(values.view()), pixels);
    }

    #[test]
    fn out_of_range_is_clamped_and_nan_is_zero() {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -1.5, 0.0];
        let values = Array4::from_shape_vec((1, 1, 1, 6), values.to_vec()).unwrap();
        assert_eq!(from_model(values.view()).into_raw_vec_and_offset().0, [0, 255, 0, 255, 0, 128]);
    }

    proptest! {
        #[test]
        fn axes_move_together(b in 0_usize..3, h in 1_usize..4, w in 1_usize..4, c in 1_usize..4) {
            let pixels = Array4::from_shape_fn((b, h, w, c), |(i, y, x, k)| (i * 64 + y * 16 + x * 4 + k) as u8);
            let values = to_model(pixels.view());
            prop_assert_eq!(values.dim(), (b, c, h, w));
            for ((i, y, x, k), &pixel) in pixels.indexed_iter() {
                prop_assert_eq!(values[[i, k, y, x]], f32::from(pixel) / 127.5 - 1.0);
            }
            prop_assert_eq!(from_model(values.view()), pixels);
        }
    }
}
