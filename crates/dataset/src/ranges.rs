//! Determines which values mean black and white in an array that does not say.

use ndarray::ArrayD;

use crate::array::AnyArray;
use crate::error::DatasetError;

/// Float images may exceed their range because of rounding.
const FLOAT_SLACK: f64 = 1e-3;
/// If the brightest pixel is below this, the images look black; more likely the values have another range.
const DARK: u8 = 32;

/// Converts values to pixels 0..=255, with a note if they were not in the range of pixels.
///
/// | values | meaning |
/// |---|---|
/// | integers up to 255 | pixels |
/// | integers 0 and 1, or -1, 0 and 1; booleans | black and white |
/// | floats in [0, 1] | black to white |
/// | floats in [-1, 1], some negative | black to white |
///
/// # Errors
/// [`DatasetError::Unsuitable`] for any other range, with advice.
pub(crate) fn to_bytes(name: &str, array: AnyArray) -> Result<(ArrayD<u8>, Option<String>), DatasetError> {
    let (bytes, note) = match array {
        AnyArray::F32(a) => floats(name, a.mapv(f64::from))?,
        AnyArray::F64(a) => floats(name, a)?,
        AnyArray::I64(a) => integers(name, a)?,
        AnyArray::U8(a) if a.iter().max() == Some(&1) => (a.mapv(|v| v * 255), Some(two_values(name, 0))),
        AnyArray::U8(a) => (a, None),
    };
    let note = note.or_else(|| dark(name, &bytes));
    Ok((bytes, note))
}

fn integers(name: &str, values: ArrayD<i64>) -> Result<(ArrayD<u8>, Option<String>), DatasetError> {
    let low = values.iter().copied().min().unwrap_or(0);
    let high = values.iter().copied().max().unwrap_or(0);
    let refuse = |advice: &str| {
        let expected = format!("pixels in 0..=255 ({advice} and save them as uint8)");
        Err(DatasetError::unsuitable(name, expected, format!("values from {low} to {high}")))
    };
    match (low, high) {
        // `as` is exact in all of these.
        (-1, ..=1) => Ok((values.mapv(|v| ((v + 1) * 255 / 2) as u8), Some(two_values(name, -1)))),
        (0.., 1) => Ok((values.mapv(|v| (v * 255) as u8), Some(two_values(name, 0)))),
        (0.., ..=255) => Ok((values.mapv(|v| v as u8), None)),
        (-128..0, ..=127) => refuse("add 128 to signed bytes"),
        (0.., 256..=65535) => refuse("divide 16-bit values by 257"),
        _ => refuse("scale them"),
    }
}

fn floats(name: &str, values: ArrayD<f64>) -> Result<(ArrayD<u8>, Option<String>), DatasetError> {
    if let Some(value) = values.iter().find(|v| !v.is_finite()) {
        return Err(DatasetError::unsuitable(name, "finite numbers", format!("the value {value}")));
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bound = 1.0 + FLOAT_SLACK;
    if low < -bound || high > bound {
        let expected = "floats in [0, 1] or [-1, 1] (save 0..=255 as uint8, scale any other range)";
        return Err(DatasetError::unsuitable(name, expected, format!("values from {low} to {high}")));
    }
    let signed = low < -FLOAT_SLACK;
    let faint = signed && low > -0.5 - FLOAT_SLACK && high < 0.5 + FLOAT_SLACK;
    let note = faint.then(|| {
        format!(
            "{name}: values from {low:.3} to {high:.3} are treated as part of [-1, 1], so contrast is low; rescale them if \
             they should span the full range"
        )
    });
    // A float-to-integer `as` saturates.
    let bytes = values.mapv(|v| if signed { (v + 1.0) * 127.5 } else { v * 255.0 }.round() as u8);
    Ok((bytes, note))
}

fn two_values(name: &str, black: i64) -> String {
    format!("{name}: the only values are {black} to 1, so {black} is taken as black and 1 as white")
}

fn dark(name: &str, bytes: &ArrayD<u8>) -> Option<String> {
    // All-black images are allowed in any range.
    let brightest = bytes.iter().copied().max().filter(|max| (1..DARK).contains(max))?;
    Some(format!(
        "{name}: the brightest pixel is {brightest} of 255, so the images are nearly black; rescale the values if that is \
         not intended"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;

    fn pixels(array: impl Into<AnyArray>) -> Result<(Vec<u8>, Option<String>), String> {
        let (bytes, note) = to_bytes("a", array.into()).map_err(|e| e.to_string())?;
        Ok((bytes.into_iter().collect(), note))
    }

    fn ints(values: &[i64]) -> Array1<i64> {
        Array1::from(values.to_vec())
    }

    fn reals(values: &[f64]) -> Array1<f64> {
        Array1::from(values.to_vec())
    }

    #[test]
    fn pixels_and_the_usual_floats_give_no_note() {
        assert_eq!(pixels(Array1::from(vec![0_u8, 7, 255])), Ok((vec![0, 7, 255], None)));
        assert_eq!(pixels(ints(&[0, 255])), Ok((vec![0, 255], None)));
        assert_eq!(pixels(reals(&[0.0, 0.5, 1.0])), Ok((vec![0, 128, 255], None)));
        assert_eq!(pixels(reals(&[-1.0, 0.0, 1.0])), Ok((vec![0, 128, 255], None)));
        assert_eq!(pixels(reals(&[-1e-6, 0.0, 1.000_001])), Ok((vec![0, 0, 255], None)));
        assert_eq!(pixels(Array1::from(vec![0.0_f32, 1.0])), Ok((vec![0, 255], None)));
        // Nothing to scale: black stays black.
        assert_eq!(pixels(ints(&[0, 0])), Ok((vec![0, 0], None)));
        assert_eq!(pixels(Array1::from(vec![0_u8])), Ok((vec![0], None)));
    }

    #[test]
    fn two_values_are_black_and_white_with_a_note() {
        for array in [Array1::from(vec![0_u8, 1, 1]).into(), AnyArray::from(ints(&[0, 1, 1]))] {
            let (bytes, note) = pixels(array).unwrap();
            assert_eq!(bytes, [0, 255, 255]);
            assert!(note.unwrap().contains("0 is taken as black and 1 as white"));
        }
        assert_eq!(pixels(ints(&[-1, 1])).unwrap().0, [0, 255]);
        // As floats they always mean that.
        assert_eq!(pixels(reals(&[0.0, 1.0])), Ok((vec![0, 255], None)));
    }

    #[test]
    fn ranges_that_fit_nothing_are_refused_with_advice() {
        for (error, advice) in [
            (pixels(ints(&[-128, 127])), "add 128 to signed bytes"),
            (pixels(ints(&[0, 65535])), "divide 16-bit values by 257"),
            (pixels(ints(&[0, 1 << 40])), "values from 0 to 1099511627776"),
            (pixels(reals(&[0.0, 128.0, 255.0])), "save 0..=255 as uint8"),
            (pixels(reals(&[0.0, 16.0])), "found values from 0 to 16"),
            (pixels(reals(&[-3.0, 2.0])), "found values from -3 to 2"),
            (pixels(reals(&[0.0, f64::NAN])), "found the value NaN"),
        ] {
            let error = error.unwrap_err();
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn dark_and_faint_images_give_a_note() {
        for array in [AnyArray::from(ints(&[0, 16])), reals(&[0.0, 1.0 / 255.0]).into()] {
            assert!(pixels(array).unwrap().1.unwrap().contains("nearly black"));
        }
        let (bytes, note) = pixels(reals(&[-0.5, 0.5])).unwrap();
        assert_eq!(bytes, [64, 191]);
        assert!(note.unwrap().contains("contrast is low"));
    }
}
