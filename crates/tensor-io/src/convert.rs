//! Converts slices and ndarrays to tensors and back, with checked lengths.

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use tch::kind::Element;
use tch::{Kind, Tensor};

use crate::TensorIoError;

/// A CPU tensor of the given shape that owns a copy of `data`.
///
/// # Errors
/// [`TensorIoError::Length`] when `data` does not fill `shape`.
///
/// ```
/// let x = tensor_io::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(tensor_io::to_vec(&x)?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), tensor_io::TensorIoError>(())
/// ```
pub fn from_slice<T: Element>(data: &[T], shape: &[i64]) -> Result<Tensor, TensorIoError> {
    let expected = element_count(shape)?;
    if expected != data.len() {
        return Err(TensorIoError::Length { shape: shape.to_vec(), expected, got: data.len() });
    }
    Ok(Tensor::f_from_slice(data)?.f_view(shape)?)
}

/// A CPU tensor of the given shape and type from its little-endian bytes in row-major order.
///
/// # Errors
/// [`TensorIoError::Length`] when the length of `bytes` does not match the shape.
pub fn from_bytes(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TensorIoError> {
    let count = element_count(shape)?;
    let expected = count.saturating_mul(kind.elt_size_in_bytes());
    if expected != bytes.len() {
        return Err(TensorIoError::Length { shape: shape.to_vec(), expected, got: bytes.len() });
    }
    #[expect(clippy::disallowed_methods, reason = "the one place where the length has been checked")]
    let tensor = Tensor::f_from_data_size(bytes, shape, kind)?;
    Ok(tensor)
}

/// A CPU tensor with the array's shape, `[b, c, h, w]` for a batch of images.
///
/// # Errors
/// Only errors from libtorch, such as lack of memory.
pub fn from_array<T: Element>(array: &ArrayViewD<T>) -> Result<Tensor, TensorIoError> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    from_slice(array.as_standard_layout().as_slice().unwrap_or(&[]), &shape)
}

/// The numbers of a tensor of any type, device and layout as f32 in row-major order.
///
/// # Errors
/// Errors from libtorch.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>, TensorIoError> {
    let flat = tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut out = vec![0.0_f32; flat.numel()];
    let count = out.len();
    flat.f_copy_data(&mut out, count)?;
    Ok(out)
}

/// [`to_vec`] with the tensor's shape.
///
/// # Errors
/// Errors from libtorch.
pub fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>, TensorIoError> {
    let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
    let data = to_vec(tensor)?;
    let (expected, got) = (shape.iter().product(), data.len());
    ArrayD::from_shape_vec(IxDyn(&shape), data).map_err(|_| TensorIoError::Length {
        shape: tensor.size(),
        expected,
        got,
    })
}

fn element_count(shape: &[i64]) -> Result<usize, TensorIoError> {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &n| usize::try_from(n).ok().and_then(|n| count.checked_mul(n)));
    count.ok_or_else(|| TensorIoError::Length { shape: shape.to_vec(), expected: usize::MAX, got: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn arrays_make_the_round_trip_in_any_layout() {
        let array = Array2::from_shape_fn((3, 2), |(i, j)| (10 * i + j) as f32);
        let mut reversed = array.view();
        reversed.invert_axis(ndarray::Axis(0));
        for view in [array.view(), array.t(), reversed] {
            let tensor = from_array(&view.into_dyn()).unwrap();
            assert_eq!(to_array(&tensor).unwrap(), view.to_owned().into_dyn());
        }
        let transposed = from_array(&array.view().into_dyn()).unwrap().transpose(0, 1);
        assert_eq!(to_array(&transposed).unwrap(), array.t().to_owned().into_dyn());
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(matches!(
            from_slice(&[1.0_f32; 5], &[2, 3]),
            Err(TensorIoError::Length { expected: 6, got: 5, .. })
        ));
        // tch itself accepts this and reads foreign memory: 4 bytes for 1000 floats.
        assert!(matches!(from_bytes(&[0; 4], &[1000], Kind::Float), Err(TensorIoError::Length { .. })));
        assert!(matches!(
            from_bytes(&[], &[1 << 32, 1 << 32], Kind::Float),
            Err(TensorIoError::Length { .. })
        ));
        assert!(matches!(from_bytes(&[], &[-1], Kind::Float), Err(TensorIoError::Length { .. })));
    }
}
