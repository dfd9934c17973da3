//! Images as grey levels, the data of a discrete likelihood.

use tch::{Kind, Tensor};

use crate::error::LikelihoodError;

/// How far from a grey level a value may be, in grey levels; f32 is off by 1e-5.
const OFF: f64 = 0.01;

/// Images `[b, c, h, w]` in [-1, 1], in f64.
pub(crate) struct Grey {
    /// `k / 127.5 - 1` for the grey levels k in 0..=255.
    pub(crate) x_0: Tensor,
    /// The type in which the network computes: f64 for f64 images, else f32.
    pub(crate) kind: Kind,
}

impl Grey {
    /// Reads images in u8, or floating-point values `k / 127.5 - 1`; `first` is the index of the first image in the
    /// set.
    pub(crate) fn of(images: &Tensor, first: u64) -> Result<Self, LikelihoodError> {
        let kind = check(images, &[Kind::Uint8, Kind::Float, Kind::Double])?;
        let whole = if kind == Kind::Uint8 {
            images.f_to_kind(Kind::Double)?
        } else {
            let levels = images.f_to_kind(Kind::Double)?.f_add_scalar(1.0)?.f_mul_scalar(127.5)?;
            let whole = levels.f_round()?.f_clamp(0.0, 255.0)?;
            let off = levels.f_sub(&whole)?.f_abs()?.f_flatten(1, -1)?;
            let (worst, place) = off.f_max_dim(1, false)?; // [b]
            // Negated, because NaN fails every comparison.
            let wrong = worst.f_le(OFF)?.f_logical_not()?;
            if bool::try_from(&wrong.f_any()?)? {
                let image = i64::try_from(&wrong.f_to_kind(Kind::Int64)?.f_argmax(0, false)?)?;
                let place = i64::try_from(&place.f_select(0, image)?)?;
                let value = images.f_select(0, image)?.f_flatten(0, -1)?.f_select(0, place)?;
                return Err(LikelihoodError::NotGrey {
                    image: first.wrapping_add(image as u64),
                    value: f64::try_from(&value)?,
                });
            }
            whole
        };
        let network = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        Ok(Self { x_0: whole.f_div_scalar(127.5)?.f_sub_scalar(1.0)?, kind: network })
    }
}

/// Checks for a batch of images `[b, c, h, w]` with no empty axis, in one of `kinds`, and returns its type.
pub(crate) fn check(images: &Tensor, kinds: &[Kind]) -> Result<Kind, LikelihoodError> {
    let (got, kind) = (images.size(), images.f_kind()?);
    if got.len() == 4 && got.iter().all(|&n| n > 0) && kinds.contains(&kind) {
        Ok(kind)
    } else {
        Err(LikelihoodError::Images { got, got_kind: format!("{kind:?}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn all_types_give_the_same_levels() {
        let bytes = Tensor::arange(256, (Kind::Uint8, Device::Cpu)).view([2, 1, 8, 16]);
        let want = Grey::of(&bytes, 0).unwrap();
        assert_eq!(want.kind, Kind::Float);
        assert_eq!((want.x_0.min().double_value(&[]), want.x_0.max().double_value(&[])), (-1.0, 1.0));
        for kind in [Kind::Float, Kind::Double] {
            let got = Grey::of(&(bytes.to_kind(kind) / 127.5 - 1.0), 0).unwrap();
            assert_eq!(got.x_0, want.x_0);
            assert_eq!(got.kind, kind);
        }
    }

    #[test]
    fn values_between_grey_levels_are_refused() {
        let images = Tensor::full([3, 1, 2, 2], -1.0, (Kind::Float, Device::Cpu));
        for value in [0.0, 1.5, f64::NAN, f64::INFINITY] {
            let wrong = images.copy();
            let _ = wrong.get(1).get(0).get(1).get(0).fill_(value);
            match Grey::of(&wrong, 40) {
                Err(LikelihoodError::NotGrey { image: 41, value: got }) => {
                    assert!(got == value || value.is_nan() && got.is_nan(), "{got}");
                }
                other => panic!("{value}: {:?}", other.map(|grey| grey.kind)),
            }
        }
        for wrong in [
            Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu)),
            Tensor::zeros([0, 1, 2, 2], (Kind::Float, Device::Cpu)),
            Tensor::zeros([1, 1, 2, 2], (Kind::Int64, Device::Cpu)),
        ] {
            assert!(matches!(Grey::of(&wrong, 0), Err(LikelihoodError::Images { .. })));
        }
    }
}
