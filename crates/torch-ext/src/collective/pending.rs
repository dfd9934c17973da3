//! Sums that run while the program goes on.

use std::marker::PhantomData;
use std::ptr;

use tch::Tensor;

use super::group::{Collective, summable};
use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain;

const CALL: &str = "all_reduce";

/// A sum that runs on a thread of the group. [`Pending::finish`] waits for it; if it is dropped, the sum still runs, since the
/// other processes take part in it.
pub struct Pending<'a> {
    raw: *mut ffi::Sum,
    x: Tensor,
    group: PhantomData<&'a Collective>,
}

// SAFETY: any thread may wait for c10d's work and free it: it locks its own state and belongs to no thread. The tensor may move
// between threads, and the group may be used by several.
unsafe impl Send for Pending<'_> {}

impl Collective {
    /// Begins [`Collective::all_reduce`] of a tensor that shares its memory with no other. Operations run one after the other,
    /// in the order in which they are begun, which must be the same in all processes.
    ///
    /// # Errors
    /// As [`Collective::all_reduce`], and [`TorchExtError::Overlap`] for shared memory.
    pub fn begin_all_reduce(&self, x: Tensor) -> Result<Pending<'_>, TorchExtError> {
        summable(CALL, &x)?;
        plain::unshared("the tensor", &x)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the group lives; the tensor qualifies. C++ keeps its memory until the sum has ended, and nothing else can
        // see it before `finish`. A pointer is written, only if there is no error.
        checked(CALL, unsafe { self.begin(&x, &raw mut raw) })?;
        Ok(Pending { raw, x, group: PhantomData })
    }
}

impl Pending<'_> {
    /// Waits for the sum and returns it.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when another process fails or is late.
    pub fn finish(self) -> Result<Tensor, TorchExtError> {
        // SAFETY: made by `torch_ext_group_begin_all_reduce`, and not yet freed.
        checked(CALL, unsafe { ffi::torch_ext_sum_finish(self.raw) })?;
        Ok(self.x.shallow_clone())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_group_begin_all_reduce`, freed exactly once.
        unsafe { ffi::torch_ext_sum_free(self.raw) };
    }
}
