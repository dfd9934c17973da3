//! Tensors to a GPU and back while the host goes on.

use std::ptr;

use tch::{Device, Tensor};

use super::event::Event;
use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::generator::index;
use crate::plain::strided;

/// The same numbers in memory from which the device fetches them by itself; `x` itself where the device is the CPU.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`] and [`TorchExtError::UnknownDevice`]; [`TorchExtError::Torch`] when there is no such
/// device or not enough of such memory.
pub fn pinned(x: &Tensor, device: Device) -> Result<Tensor, TorchExtError> {
    const CALL: &str = "pinned";
    strided("x", x)?;
    if index(CALL, device)? < 0 || x.device() != Device::Cpu {
        return Ok(x.shallow_clone());
    }
    let mut out = ptr::null_mut();
    // SAFETY: the tensor is borrowed until the call is over; one pointer is written, when there is no error.
    checked(CALL, unsafe { ffi::torch_ext_pinned(x.as_ptr(), &raw mut out) })?;
    // SAFETY: without an error `out` is a new tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Copies the numbers, also from one device to another, without waiting if the host's side is pinned.
pub(super) fn copy_ahead(to: &Tensor, from: &Tensor) -> Result<(), TorchExtError> {
    // SAFETY: both tensors are borrowed until the call is over; what is still to be copied after it, libtorch keeps.
    checked("copy", unsafe { ffi::torch_ext_copy_ahead(to.as_ptr(), from.as_ptr()) })
}

/// Numbers on their way to the host.
pub struct Download {
    host: Tensor,
    /// When they are there; none if they are.
    event: Option<Event>,
}

impl Download {
    /// Fetches what the tensor will hold when the device has done what it was given so far.
    ///
    /// # Errors
    /// As [`pinned`].
    pub fn new(x: &Tensor) -> Result<Self, TorchExtError> {
        const CALL: &str = "download";
        strided("x", x)?;
        let cuda = index(CALL, x.device())?;
        if cuda < 0 {
            // The caller may write to it before these numbers are asked for.
            let host =
                x.f_detach_copy().map_err(|e| TorchExtError::Torch { call: CALL, text: e.to_string() })?;
            return Ok(Self { host, event: None });
        }
        let mut out = ptr::null_mut();
        // SAFETY: the tensor is borrowed until the call is over; one pointer is written, when there is no error.
        checked(CALL, unsafe { ffi::torch_ext_download(x.as_ptr(), &raw mut out) })?;
        // SAFETY: without an error `out` is a new tensor that nobody else owns.
        let host = unsafe { Tensor::from_ptr(out) };
        Ok(Self { host, event: Some(Event::record(cuda)?) })
    }

    /// Waits for them, and for nothing that the device was given later.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when the work of the device has failed.
    pub fn wait(self) -> Result<Tensor, TorchExtError> {
        if let Some(event) = &self.event {
            event.wait()?;
        }
        Ok(self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_cpu_the_numbers_are_there() {
        let mut x = Tensor::from_slice(&[1.0_f32, 2.0]);
        let download = Download::new(&x).unwrap();
        let _ = x.fill_(5.0);
        assert_eq!(download.wait().unwrap(), Tensor::from_slice(&[1.0_f32, 2.0]));
        assert_eq!(pinned(&x, Device::Cpu).unwrap().data_ptr(), x.data_ptr());
        for refused in [pinned(&x, Device::Mps).err(), Download::new(&Tensor::new()).err()] {
            let error = refused.unwrap();
            assert!(
                matches!(error, TorchExtError::UnknownDevice { .. } | TorchExtError::Undefined { .. }),
                "{error}"
            );
        }
        if !tch::Cuda::is_available() {
            assert!(matches!(pinned(&x, Device::Cuda(0)), Err(TorchExtError::Torch { .. })));
        }
    }
}
