//! Recorded work of a GPU (CUDA graphs).

use std::ptr;

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// Kernels in the order in which they were recorded, with the memory they work on.
pub(super) struct Graph {
    raw: *mut ffi::Graph,
}

// SAFETY: the object holds handles of CUDA and libtorch's own, which any thread may use one after the other.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `body` gives to the thread's current stream, which must not be the default one. Nothing of it is done
    /// yet. The body may not wait for the device.
    pub(super) fn record<R, E>(body: impl FnOnce() -> Result<R, E>) -> Result<(Self, R), E>
    where
        E: From<TorchExtError>,
    {
        let mut raw = ptr::null_mut();
        // SAFETY: one pointer is written where it is told to, when there is no error.
        checked("recording", unsafe { ffi::torch_ext_graph_begin(&raw mut raw) })?;
        let open = Open(Self { raw });
        let result = body();
        let graph = open.end();
        // What went wrong in the body says more than that the recording is broken for it.
        let result = result?;
        Ok((graph?, result))
    }

    /// Gives the work to the thread's current stream once more.
    pub(super) fn replay(&self) -> Result<(), TorchExtError> {
        // SAFETY: the object lives as long as `self`.
        checked("replay", unsafe { ffi::torch_ext_graph_replay(self.raw) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_graph_begin`, freed this once.
        unsafe { ffi::torch_ext_graph_free(self.raw) };
    }
}

/// Being recorded: the stream is of no other use until that ends, whatever the body does.
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
        // SAFETY: as in `end`; after a panic nobody has a use for the error.
        let _ = checked("recording", unsafe { ffi::torch_ext_graph_end(self.0.raw) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without libtorch's CUDA part there are no recordings, which is an error and nothing worse.
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
