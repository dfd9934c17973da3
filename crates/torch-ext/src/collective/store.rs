//! The store of a launcher, which outlives the processes that meet there.

use std::ptr;
use std::time::Duration;

use super::{milliseconds, text};
use crate::error::{TorchExtError, checked};
use crate::ffi;

/// A TCP store served by threads of this process, until it is dropped.
pub struct StoreServer {
    raw: *mut ffi::Store,
    port: u16,
}

// SAFETY: C++ only keeps a pointer to a store that locks its own state; nothing in it belongs to a thread.
unsafe impl Send for StoreServer {}

impl StoreServer {
    /// Serves on a port of `host`; 0 takes a free one.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when the port is taken or the host is not this machine.
    pub fn new(host: &str, port: u16, timeout: Duration) -> Result<Self, TorchExtError> {
        const CALL: &str = "StoreServer::new";
        let host = text(CALL, "host", host)?;
        let (mut raw, mut taken) = (ptr::null_mut(), 0);
        let limit = milliseconds(timeout);
        // SAFETY: the text lives for the call; a port and a pointer are written, only if there is no error.
        let told =
            unsafe { ffi::torch_ext_store_serve(host.as_ptr(), port, limit, &raw mut taken, &raw mut raw) };
        checked(CALL, told)?;
        Ok(Self { raw, port: taken })
    }

    /// The port it serves on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_store_serve`, freed exactly once.
        unsafe { ffi::torch_ext_store_free(self.raw) };
    }
}
