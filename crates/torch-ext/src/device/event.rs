//! A point in a stream that can be waited for.

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// The end of the device's work at the time of recording.
pub(crate) struct Event {
    raw: *mut ffi::Event,
}

// SAFETY: a CUDA event may be waited for and freed on any thread.
unsafe impl Send for Event {}

impl Event {
    /// Records on the thread's current stream of the device with this index.
    pub(crate) fn record(cuda: i32) -> Result<Self, TorchExtError> {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written through the argument, only if there is no error.
        checked("event", unsafe { ffi::torch_ext_event_record(cuda, &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// Whether the device has reached the event.
    pub(crate) fn is_over(&self) -> Result<bool, TorchExtError> {
        let mut is_over = false;
        // SAFETY: the object lives as long as `self`; one value is written through the argument.
        checked("event", unsafe { ffi::torch_ext_event_query(self.raw, &raw mut is_over) })?;
        Ok(is_over)
    }

    /// Waits for the event; later work may still be running.
    pub(super) fn wait(&self) -> Result<(), TorchExtError> {
        // SAFETY: the object lives as long as `self`.
        checked("event", unsafe { ffi::torch_ext_event_wait(self.raw) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_event_record`, freed exactly once.
        unsafe { ffi::torch_ext_event_free(self.raw) };
    }
}
