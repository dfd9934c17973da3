//! Resizes images of any size to 299x299 and [-1, 1], with either of two rules that are used for FID and give different
//! numbers.

use std::fmt;

use ndarray::ArrayView4;
use tch::{Device, Kind, Tensor};

use super::plan::SIDE;
use crate::error::FeaturesError;

/// How an image is brought to the size and range of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resize {
    /// Pixel i of the large image is at `i h / 299` of the small one; interpolates the bytes, then maps them with
    /// `(x - 128) / 128`.
    TensorFlow,
    /// Pixel i is at `(i + 1/2) h / 299 - 1/2`; interpolates `x / 255`, then maps it with `2 x - 1`.
    PyTorch,
}

impl Resize {
    const ALL: [Self; 2] = [Self::TensorFlow, Self::PyTorch];

    /// Finds a rule by its name in the metadata of a file.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// All names, for an error message.
    pub(crate) fn names() -> String {
        Self::ALL.map(|rule| format!("{:?}", rule.name())).join(" or ")
    }

    fn name(self) -> &'static str {
        match self {
            Self::TensorFlow => "tensorflow",
            Self::PyTorch => "pytorch",
        }
    }

    /// Maps images `[n, h, w, 1 or 3]` to `[n, 3, 299, 299]`; a single channel is repeated three times.
    pub(crate) fn apply(self, images: ArrayView4<'_, u8>, device: Device) -> Result<Tensor, FeaturesError> {
        let (_, height, width, _) = images.dim();
        let bytes = tensor_io::from_array(&images.into_dyn())?.f_to_device(device)?;
        let x = bytes.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
        let resized = match self {
            Self::TensorFlow => {
                let x = between(&between(&x, 3, width)?, 2, height)?;
                x.f_sub_scalar(128.0)?.f_div_scalar(128.0)?
            }
            Self::PyTorch => {
                let x = x.f_div_scalar(255.0)?;
                let side = SIDE as i64;
                x.f_upsample_bilinear2d([side, side], false, None, None)?
                    .f_mul_scalar(2.0)?
                    .f_sub_scalar(1.0)?
            }
        };
        Ok(resized.f_expand([-1, 3, -1, -1], false)?)
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bilinear to {SIDE}x{SIDE} by the rule {:?}", self.name())
    }
}

/// Interpolates along one dimension of `size` between the pixel before and the one after, in f32 as in TensorFlow.
fn between(x: &Tensor, dimension: i64, size: usize) -> Result<Tensor, FeaturesError> {
    let scale = (size as f64 / SIDE as f64) as f32;
    let places: Vec<f32> = (0..SIDE).map(|i| i as f32 * scale).collect();
    let before: Vec<i64> = places.iter().map(|place| (*place as i64).min(size as i64 - 1)).collect();
    let after: Vec<i64> = before.iter().map(|before| (before + 1).min(size as i64 - 1)).collect();
    let shares: Vec<f32> = places.iter().zip(&before).map(|(place, before)| place - *before as f32).collect();
    let pick = |which: &[i64]| -> Result<Tensor, FeaturesError> {
        let which = tensor_io::from_slice(which, &[SIDE as i64])?.f_to_device(x.device())?;
        Ok(x.f_index_select(dimension, &which)?)
    };
    let mut shape = [1; 4];
    shape[dimension as usize] = SIDE as i64;
    let shares = tensor_io::from_slice(&shares, &shape)?.f_to_device(x.device())?;
    let before = pick(&before)?;
    let step = pick(&after)?.f_sub(&before)?;
    Ok(before.f_add(&step.f_mul(&shares)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    fn resized(rule: Resize, images: &Array4<u8>) -> Vec<f32> {
        tensor_io::to_vec(&rule.apply(images.view(), Device::Cpu).unwrap()).unwrap()
    }

    /// Enlarged and shrunk ramps: where each rule places their pixels, from left to right and from top to bottom.
    #[test]
    fn the_rules_differ_by_half_a_pixel() {
        for size in [2, 40, 500] {
            let value = |place: f64| (250.0 * place / size as f64) as u8;
            let between = |place: f64| {
                let (left, right) = (place.floor(), (place.floor() + 1.0).min(size as f64 - 1.0));
                let share = place - left;
                f64::from(value(left)) * (1.0 - share) + f64::from(value(right)) * share
            };
            let row = Array4::from_shape_fn((1, 1, size, 1), |(_, _, x, _)| value(x as f64));
            let column = Array4::from_shape_fn((1, size, 1, 1), |(_, y, _, _)| value(y as f64));
            for rule in Resize::ALL {
                let (row, column) = (resized(rule, &row), resized(rule, &column));
                for i in 0..SIDE {
                    let scale = size as f64 / 299.0;
                    let want = match rule {
                        Resize::TensorFlow => (between(i as f64 * scale) - 128.0) / 128.0,
                        Resize::PyTorch => {
                            let place = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
                            between(place.min(size as f64 - 1.0)) / 127.5 - 1.0
                        }
                    };
                    assert!((f64::from(row[i]) - want).abs() < 1e-4, "{size} {rule} {i}");
                    assert_eq!(row[i], column[i * SIDE], "{size} {rule} {i}");
                }
            }
        }
    }

    #[test]
    fn images_of_the_size_stay_and_grey_becomes_three_equal_channels() {
        let images = Array4::from_shape_fn((2, SIDE, SIDE, 1), |(n, y, x, _)| (n * 7 + y * 3 + x * 5) as u8);
        for (rule, of) in [
            (Resize::TensorFlow, (|x| (x - 128.0) / 128.0) as fn(f32) -> f32),
            (Resize::PyTorch, |x| 2.0 * (x / 255.0) - 1.0),
        ] {
            let got = resized(rule, &images);
            let pixels = SIDE * SIDE;
            for (n, image) in got.chunks(3 * pixels).enumerate() {
                for channel in image.chunks(pixels) {
                    let own = images.iter().skip(n * pixels);
                    assert!(
                        channel.iter().zip(own).all(|(got, byte)| (got - of(f32::from(*byte))).abs() < 1e-6)
                    );
                }
            }
        }
        assert_eq!(Resize::named("tensorflow"), Some(Resize::TensorFlow));
        assert_eq!(Resize::named("bicubic"), None);
    }
}
