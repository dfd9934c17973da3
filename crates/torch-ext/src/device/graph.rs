//! Recorded GPU work (CUDA graphs).

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Recorded kernels in order, with the memory they use.
pub(super) struct Graph {
    raw: *mut ffi::Graph,
}

// SAFETY: the object holds handles of CUDA and libtorch, which any thread may use, one at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `body` submits to the thread's current stream, which must not be the default one. Nothing is executed
    /// yet. The body must not wait for the device.
    pub(super) fn record<R, E>(body: impl FnOnce() -> Result<R, E>) -> Result<(Self, R), E>
    where
        E: From<TorchExtError>,
    {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written through the argument, only if there is no error.
        checked("recording", unsafe { ffi::torch_ext_graph_begin(&raw mut raw) })?;
        let open = Open(Self { raw });
        let result = body();
        let graph = open.end();
        // An error of the body is more informative than the broken recording it causes.
        let result = result?;
        Ok((graph?, result))
    }

    /// Submits the work to the thread's current stream again.
    pub(super) fn replay(&self) -> Result<(), TorchExtError> {
        // SAFETY: the object lives as long as `self`.
        checked("replay", unsafe { ffi::torch_ext_graph_replay(self.raw) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_graph_begin`, freed exactly once.
        unsafe { ffi::torch_ext_graph_free(self.raw) };
    }
}

/// A recording in progress. The stream is unusable until it ends, whatever the body does.
struct Open(Graph);

impl Open {
    fn end(self) -> Result<Graph, TorchExtError> {
        let raw = self.0.raw;
        std::mem::forget(self);
        let graph = Graph { raw };
        // SAFETY: the object lives, and the recording has begun.
        checked("recording", unsafe { ffi::torch_ext_graph_end(raw) })?;
        Ok(graph)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: as in `end`. After a panic the error does not matter.
        let _ = checked("recording", unsafe { ffi::torch_ext_graph_end(self.0.raw) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without libtorch's CUDA part, recording must fail with an error.
    #[test]
    fn a_program_without_cuda_records_nothing() {
        if tch::Cuda::is_available() {
            return;
        }
        let mut ran = false;
        let result = Graph::record(|| {
            ran = true;
            Ok::<_, TorchExtError>(())
        });
        let text = result.err().unwrap().to_string();
        assert!(text.contains("CUDA") && !ran, "{text}");
    }
}
