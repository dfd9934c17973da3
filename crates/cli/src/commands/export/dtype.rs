//! `--dtype`: the precision of the weights in a file.

use std::fmt;

use clap::ValueEnum;
use tch::Kind;
use tensor_io::Named;

use crate::failure::bail_usage;

/// Element types of exported weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Dtype {
    // Plain comments, as in `Weights`: as they are trained.
    #[default]
    F32,
    // Half the size: 11 bits of mantissa, and numbers up to 65504.
    F16,
    // Half the size: 8 bits of mantissa, and the range of f32.
    Bf16,
}

impl Dtype {
    fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F16 => Kind::Half,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    /// Rounds finite f32 weights to this type. Numbers beyond its range are refused.
    pub(super) fn round(self, params: &[Named]) -> anyhow::Result<Vec<Named>> {
        let _no_grad = tch::no_grad_guard();
        let mut rounded = Vec::with_capacity(params.len());
        for (name, param) in params {
            let tensor = param.f_to_kind(self.kind())?;
            let largest = f64::try_from(tensor.f_to_kind(Kind::Double)?.f_abs()?.f_max()?)?;
            if !largest.is_finite() {
                bail_usage!(
                    "--dtype {self}: {} has a number beyond the range of {self}; use f32",
                    files::printable(name)
                );
            }
            rounded.push((name.clone(), tensor));
        }
        Ok(rounded)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn params(values: &[f32]) -> Vec<Named> {
        vec![("a.weight".to_owned(), Tensor::from_slice(values))]
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_of_the_type() {
        // One more than a power of two by half a unit in the last place goes to the even neighbour, by more than half up.
        let values = [1.0, -0.5, 1.0 + 2.0_f32.powi(-11), 1.0 + 1.5 * 2.0_f32.powi(-11), 1e-9];
        let rounded = |dtype: Dtype| {
            let rounded = dtype.round(&params(&values)).unwrap();
            assert_eq!(rounded[0].1.kind(), dtype.kind());
            tensor_io::to_vec(&rounded[0].1).unwrap()
        };
        assert_eq!(rounded(Dtype::F32), values);
        assert_eq!(rounded(Dtype::F16), [1.0, -0.5, 1.0, 1.0 + 2.0_f32.powi(-10), 0.0]);
        let bf16 = rounded(Dtype::Bf16);
        assert_eq!(bf16[..4], [1.0, -0.5, 1.0, 1.0]);
        assert!((bf16[4] / 1e-9 - 1.0).abs() < 2.0_f32.powi(-8), "{}", bf16[4]);
    }

    #[test]
    fn a_number_beyond_the_range_is_refused() {
        let error = Dtype::F16.round(&params(&[0.0, -65520.0])).unwrap_err().to_string();
        assert_eq!(error, "--dtype f16: a.weight has a number beyond the range of f16; use f32");
        assert!(Dtype::Bf16.round(&params(&[0.0, -65520.0])).is_ok());
        let error = Dtype::Bf16.round(&params(&[f32::MAX])).unwrap_err().to_string();
        assert!(error.contains("--dtype bf16: a.weight"), "{error}");
        assert!(Dtype::F32.round(&params(&[f32::MAX])).is_ok());
    }
}
