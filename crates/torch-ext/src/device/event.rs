//! A place in a stream, to wait for.

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// The end of what a device had to do when this was made.
pub(super) struct Event {
    raw: *mut ffi::Event,
}

// SAFETY: an event of CUDA may be waited for and freed on any thread.
unsafe impl Send for Event {}

impl Event {
    /// On the thread's current stream of the device of this index.
    pub(super) fn record(cuda: i32) -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written where it is told to, when there is no error.
        checked("event", unsafe { ffi::torch_ext_event_record(cuda, &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// Waits for it; what was given to the device later may still be under way.
    pub(super) fn wait(&self) -> Result<(), TorchExtError> {
        // SAFETY: the object lives as long as `self`.
        checked("event", unsafe { ffi::torch_ext_event_wait(self.raw) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_event_record`, freed this once.
        unsafe { ffi::torch_ext_event_free(self.raw) };
    }
}
