//! Keeping the predicted `x_0` in the range of images, [-1, 1].

use tch::{TchError, Tensor};

use crate::error::SamplerError;

/// What happens to a predicted `x_0` that leaves [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// Nothing.
    Off,
    /// Each value is clipped (Ho et al. 2020, in their code).
    Clip,
    /// Dynamic thresholding (Saharia et al. 2022, Sec. 2.3): each image is clipped to [-s, s] and divided by s,
    /// the given quantile of its absolute values, where that is above 1.
    Dynamic {
        /// Share of an image's values that s covers, in (0, 1); 0.995 is usual.
        quantile: f64,
        /// The most that s may be, at least 1.
        max: f64,
    },
}

impl Threshold {
    /// Dynamic thresholding with the usual quantile and no limit on s.
    pub const DYNAMIC: Self = Self::Dynamic { quantile: 0.995, max: f64::INFINITY };

    pub(crate) fn validate(&self) -> Result<(), SamplerError> {
        match *self {
            Self::Dynamic { quantile, .. } if !(quantile > 0.0 && quantile < 1.0) => {
                Err(SamplerError::Value {
                    what: "dynamic threshold",
                    got: quantile,
                    expected: "above 0 and below 1",
                })
            }
            Self::Dynamic { max, .. } if max.is_nan() || max < 1.0 => Err(SamplerError::Value {
                what: "limit of the dynamic threshold",
                got: max,
                expected: "1 or more",
            }),
            _ => Ok(()),
        }
    }

    /// `x_0` `[b, c, h, w]`, which is not written to: it may be the network's own tensor.
    pub(crate) fn apply(&self, x_0: Tensor) -> Result<Tensor, TchError> {
        match *self {
            Self::Off => Ok(x_0),
            Self::Clip => x_0.f_clamp(-1.0, 1.0),
            Self::Dynamic { quantile, max } => {
                let sizes = x_0.f_flatten(1, -1)?.f_abs()?; // [b, c h w]
                let s = sizes.f_quantile_scalar(quantile, 1, false, "linear")?.f_clamp(1.0, max)?; // [b]
                let s = s.f_view([-1, 1, 1, 1])?;
                x_0.f_minimum(&s)?.f_maximum(&s.f_neg()?)?.f_div(&s)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(threshold: Threshold, values: &[f32], batch: i64) -> Vec<f32> {
        let x_0 = tensor_io::from_slice(values, &[batch, 1, 1, values.len() as i64 / batch]).unwrap();
        tensor_io::to_vec(&threshold.apply(x_0).unwrap()).unwrap()
    }

    #[test]
    fn clipping_is_pixel_by_pixel() {
        let values = [-3.0, -0.5, 0.0, 1.5];
        assert_eq!(applied(Threshold::Clip, &values, 1), [-1.0, -0.5, 0.0, 1.0]);
        assert_eq!(applied(Threshold::Off, &values, 1), values);
    }

    /// Of the sizes 0, 1, 2, 3, 4 the 0.75 quantile is 3.
    #[test]
    fn dynamic_thresholds_are_those_of_each_image() {
        let threshold = Threshold::Dynamic { quantile: 0.75, max: f64::INFINITY };
        let values = [0.0, -1.0, 2.0, -3.0, 4.0, 0.1, -0.2, 0.3, 0.4, 0.5];
        let got = applied(threshold, &values, 2);
        let want = [0.0, -1.0 / 3.0, 2.0 / 3.0, -1.0, 1.0, 0.1, -0.2, 0.3, 0.4, 0.5];
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
        let limited = Threshold::Dynamic { quantile: 0.75, max: 1.0 };
        assert_eq!(applied(limited, &values[..5], 1), [0.0, -1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn values_out_of_range() {
        for quantile in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(Threshold::Dynamic { quantile, max: 2.0 }.validate().is_err());
        }
        for max in [0.5, f64::NAN] {
            assert!(Threshold::Dynamic { quantile: 0.9, max }.validate().is_err());
        }
        Threshold::DYNAMIC.validate().unwrap();
    }
}
