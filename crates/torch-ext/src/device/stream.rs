//! A side stream of a GPU, and the thread's current device and stream for other libraries.

use std::ffi::c_void;
use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// A separate queue of GPU work. Recordings need one, since the default stream cannot be recorded, and so do the warm-up
/// runs before them.
pub(super) struct Side {
    raw: *mut ffi::Side,
}

// SAFETY: C++ stores the numbers of this stream and the previous one, which mean the same on every thread.
unsafe impl Send for Side {}

impl Side {
    /// On the device with this index.
    pub(super) fn new(cuda: i32) -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written through the argument, only if there is no error.
        checked("stream", unsafe { ffi::torch_ext_side_new(cuda, &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// Submits the work of `body` to this queue: it runs after everything that the thread has submitted before, and
    /// before everything it submits later.
    pub(super) fn run<R>(&mut self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
        // SAFETY: the object lives as long as `self`, which is not used by anyone else meanwhile.
        checked("stream", unsafe { ffi::torch_ext_side_enter(self.raw) })?;
        // A panic of the body must not leave the thread on this stream.
        let leave = Leave(self);
        let result = body();
        leave.now()?;
        Ok(result)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_side_new`, freed exactly once.
        unsafe { ffi::torch_ext_side_free(self.raw) };
    }
}

struct Leave<'a>(&'a mut Side);

impl Leave<'_> {
    fn now(self) -> Result<(), TorchExtError> {
        let raw = self.0.raw;
        std::mem::forget(self);
        // SAFETY: the object lives, and this is the thread that entered: the guard has not left the function.
        checked("stream", unsafe { ffi::torch_ext_side_leave(raw) })
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // SAFETY: as in `now`. During a panic the error does not matter.
        let _ = checked("stream", unsafe { ffi::torch_ext_side_leave(self.0.raw) });
    }
}

/// Waits until the device has finished all its work.
pub(super) fn synchronize(cuda: i32) -> Result<(), TorchExtError> {
    // SAFETY: plain numbers.
    checked("synchronize", unsafe { ffi::torch_ext_synchronize(cuda) })
}

/// The thread's current stream of the device with this index, as CUDA's own pointer.
pub(crate) fn native_stream(cuda: i32) -> Result<*mut c_void, TorchExtError> {
    let mut raw = ptr::null_mut();
    // SAFETY: one pointer is written through the argument, only if there is no error.
    checked("stream", unsafe { ffi::torch_ext_stream_native(cuda, &raw mut raw) })?;
    Ok(raw)
}

/// Makes a device the thread's current one until this is dropped: for libraries that use the current one.
pub(crate) struct OnDevice {
    before: i32,
}

impl OnDevice {
    /// The device with this index.
    pub(crate) fn enter(cuda: i32) -> Result<Self, TorchExtError> {
        Ok(Self { before: exchange(cuda)? })
    }
}

impl Drop for OnDevice {
    fn drop(&mut self) {
        // It was current before, so it exists.
        let _ = exchange(self.before);
    }
}

/// Returns the index of the device that was current.
fn exchange(cuda: i32) -> Result<i32, TorchExtError> {
    let mut before = 0;
    // SAFETY: one number is written through the argument.
    checked("device", unsafe { ffi::torch_ext_device_exchange(cuda, &raw mut before) })?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without libtorch's CUDA part there is no device to enter and no stream: errors, not crashes.
    #[test]
    fn a_program_without_cuda_has_no_streams() {
        if tch::Cuda::is_available() {
            return;
        }
        for error in [OnDevice::enter(0).err().unwrap(), native_stream(0).unwrap_err()] {
            assert!(matches!(error, TorchExtError::Torch { .. }), "{error}");
        }
    }
}
