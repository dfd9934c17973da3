//! An array with one of the four element types that the program computes with.

use std::io::{self, Write};
use std::path::Path;

use ndarray::{Array, ArrayD, Dimension};

use crate::error::DatasetError;
use crate::npy::encode_npy;

/// An array from a `.npy` file: booleans and bytes become `u8`, other integers `i64`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AnyArray {
    /// Bytes and booleans.
    U8(ArrayD<u8>),
    /// All other integers.
    I64(ArrayD<i64>),
    /// 32-bit floats.
    F32(ArrayD<f32>),
    /// 64-bit floats.
    F64(ArrayD<f64>),
}

impl AnyArray {
    /// The shape, outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::U8(a) => a.shape(),
            Self::I64(a) => a.shape(),
            Self::F32(a) => a.shape(),
            Self::F64(a) => a.shape(),
        }
    }

    /// The element type's name: `u8`, `i64`, `f32` or `f64`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I64(_) => "i64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
        }
    }

    /// Writes the array as `.npy`: little endian, C order, atomically.
    ///
    /// # Errors
    /// [`DatasetError::Io`].
    pub fn write_npy(&self, path: &Path) -> Result<(), DatasetError> {
        files::write_output_with(path, |writer| self.encode_npy(writer))
            .map_err(|e| DatasetError::io(path, "write", e))
    }

    /// Writes the array to a stream; see [`AnyArray::write_npy`].
    pub(crate) fn encode_npy(&self, writer: &mut impl Write) -> io::Result<()> {
        match self {
            Self::U8(a) => encode_npy(writer, a),
            Self::I64(a) => encode_npy(writer, a),
            Self::F32(a) => encode_npy(writer, a),
            Self::F64(a) => encode_npy(writer, a),
        }
    }

    /// Converts to `f32`, rounding to nearest.
    #[must_use]
    pub fn into_f32(self) -> ArrayD<f32> {
        match self {
            Self::U8(a) => a.mapv(f32::from),
            Self::I64(a) => a.mapv(|v| v as f32),
            Self::F32(a) => a,
            Self::F64(a) => a.mapv(|v| v as f32),
        }
    }

    /// Converts to `f64`; integers beyond 2^53 are rounded.
    #[must_use]
    pub fn into_f64(self) -> ArrayD<f64> {
        match self {
            Self::U8(a) => a.mapv(f64::from),
            Self::I64(a) => a.mapv(|v| v as f64),
            Self::F32(a) => a.mapv(f64::from),
            Self::F64(a) => a,
        }
    }

    /// Converts to `i64`; `file` is for error messages.
    ///
    /// # Errors
    /// [`DatasetError::Unsuitable`] for a float that is not an integer (including NaN) or is beyond 2^53.
    pub fn into_i64(self, file: &str) -> Result<ArrayD<i64>, DatasetError> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let floats = match self {
            Self::U8(a) => return Ok(a.mapv(i64::from)),
            Self::I64(a) => return Ok(a),
            floats => floats.into_f64(),
        };
        match floats.iter().find(|v| v.fract() != 0.0 || v.abs() > EXACT || v.is_nan()) {
            Some(value) => Err(DatasetError::unsuitable(file, "integers", format!("the value {value}"))),
            None => Ok(floats.mapv(|v| v as i64)),
        }
    }

    /// Converts to `u8`; `file` is for error messages.
    ///
    /// # Errors
    /// [`DatasetError::Unsuitable`] for a value that is not an integer in 0..=255.
    pub fn into_u8(self, file: &str) -> Result<ArrayD<u8>, DatasetError> {
        if let Self::U8(a) = self {
            return Ok(a);
        }
        let integers = self.into_i64(file)?;
        match integers.iter().find(|v| !(0..=255).contains(*v)) {
            Some(v) => Err(DatasetError::unsuitable(file, "integers in 0..=255", format!("the value {v}"))),
            None => Ok(integers.mapv(|v| v as u8)),
        }
    }
}

macro_rules! from_array {
    ($($element:ty => $variant:ident),*) => {$(
        impl<D: Dimension> From<Array<$element, D>> for AnyArray {
            fn from(array: Array<$element, D>) -> Self {
                Self::$variant(array.into_dyn())
            }
        }
    )*};
}
from_array!(u8 => U8, i64 => I64, f32 => F32, f64 => F64);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn conversions_keep_values_or_fail() {
        assert_eq!(AnyArray::from(array![0_u8, 255]).into_f32(), array![0.0_f32, 255.0].into_dyn());
        assert_eq!(AnyArray::from(array![-3_i64]).into_f64(), array![-3.0].into_dyn());
        assert_eq!(AnyArray::from(array![2.0_f32]).into_i64("a").unwrap(), array![2_i64].into_dyn());
        assert_eq!(AnyArray::from(array![255_i64]).into_u8("a").unwrap(), array![255_u8].into_dyn());
        for bad in [0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert!(AnyArray::from(array![bad]).into_i64("a").is_err(), "{bad}");
        }
        let error = AnyArray::from(array![1_i64, 256]).into_u8("a.npy").unwrap_err().to_string();
        assert_eq!(error, "a.npy: expected integers in 0..=255, found the value 256");
    }
}
