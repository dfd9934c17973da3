//! Transfers of tensors to a GPU and back while the host goes on.

use std::ptr;

use tch::{Device, Tensor};

use super::event::Event;
use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::generator::index;
use crate::plain::strided;

/// A copy in pinned memory, which the device reads directly; `x` itself if the device is the CPU.
///
/// # Errors
/// [`TorchExtError::Undefined`], [`TorchExtError::Layout`] and [`TorchExtError::UnknownDevice`]; [`TorchExtError::Torch`] when
/// there is no such device or not enough pinned memory.
pub fn pinned(x: &Tensor, device: Device) -> Result<Tensor, TorchExtError> {
    const CALL: &str = "pinned";
    strided("x", x)?;
    if index(CALL, device)? < 0 || x.device() != Device::Cpu {
        return Ok(x.shallow_clone());
    }
    let mut out = ptr::null_mut();
    // SAFETY: the tensor is borrowed for the call; one pointer is written, when there is no error.
    checked(CALL, unsafe { ffi::torch_ext_pinned(x.as_ptr(), &raw mut out) })?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Copies the numbers, also between devices, without waiting if the host's side is pinned.
pub(super) fn copy_ahead(to: &Tensor, from: &Tensor) -> Result<(), TorchExtError> {
    // SAFETY: both tensors are borrowed for the call; libtorch keeps what remains to be copied after it.
    checked("copy", unsafe { ffi::torch_ext_copy_ahead(to.as_ptr(), from.as_ptr()) })
}

/// A transfer to the host in progress.
pub struct Download {
    host: Tensor,
    /// Signals the end of the transfer; `None` if it is already complete.
    event: Option<Event>,
}

impl Download {
    /// Fetches the values that the tensor will have after the device's work so far.
    ///
    /// # Errors
    /// The same as for [`pinned`].
    pub fn new(x: &Tensor) -> Result<Self, TorchExtError> {
        const CALL: &str = "download";
        strided("x", x)?;
        let cuda = index(CALL, x.device())?;
        if cuda < 0 {
            // Copy: the caller may write to the tensor before the values are read.
            let host =
                x.f_detach_copy().map_err(|e| TorchExtError::Torch { call: CALL, text: e.to_string() })?;
            return Ok(Self { host, event: None });
        }
        let mut out = ptr::null_mut();
        // SAFETY: the tensor is borrowed for the call; one pointer is written, when there is no error.
        checked(CALL, unsafe { ffi::torch_ext_download(x.as_ptr(), &raw mut out) })?;
        // SAFETY: without an error `out` is a new tensor with no other owner.
        let host = unsafe { Tensor::from_ptr(out) };
        Ok(Self { host, event: Some(Event::record(cuda)?) })
    }

    /// Waits for the transfer, but not for later work.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when the device's work has failed.
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
    fn on_the_cpu_the_numbers_are_available_at_once() {
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
