//! A stream besides the one that the thread is on.

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// A queue of work of its own on a GPU. Recordings need one, since the default stream cannot be recorded, and so does what
/// runs before them to warm up.
pub(super) struct Side {
    raw: *mut ffi::Side,
}

// SAFETY: C++ keeps the stream's number and that of the one before, which mean the same on every thread.
unsafe impl Send for Side {}

impl Side {
    /// On the device of this index.
    pub(super) fn new(cuda: i32) -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written where it is told to, when there is no error.
        checked("stream", unsafe { ffi::torch_ext_side_new(cuda, &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// Gives the device what `body` does by this queue: after everything that the thread has given it before, and before
    /// everything that it gives it later.
    pub(super) fn run<R>(&mut self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
        // SAFETY: the object lives as long as `self`, which nobody else uses meanwhile.
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
        // SAFETY: made by `torch_ext_side_new`, freed this once.
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
        // SAFETY: as in `now`. Whoever panics has no use for an error.
        let _ = checked("stream", unsafe { ffi::torch_ext_side_leave(self.0.raw) });
    }
}

/// Waits until the device has done everything.
pub(super) fn synchronize(cuda: i32) -> Result<(), TorchExtError> {
    // SAFETY: plain numbers.
    checked("synchronize", unsafe { ffi::torch_ext_synchronize(cuda) })
}
