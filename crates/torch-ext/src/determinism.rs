//! libtorch's switches for results that are the same in every run.

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// With `true`, libtorch takes deterministic algorithms, and an operation that has none is an error instead
/// of a result that differs from run to run; cuDNN does not choose algorithms by timing them. With `false`,
/// libtorch is back to its defaults.
///
/// The switches are libtorch's own and hold for the whole process. On the CPU, what this project calls is
/// deterministic either way.
///
/// Call it at start, before a GPU is used and before other threads run: cuBLAS needs the environment variable
/// `CUBLAS_WORKSPACE_CONFIG`, which is set here to `:4096:8` unless the user has set it.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<(), TorchExtError> {
    // SAFETY: the function takes no pointers.
    checked("set_deterministic", unsafe { ffi::torch_ext_set_deterministic(on) })
}

/// Whether [`set_deterministic`], or anything else in the process, has all those switches on.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn deterministic() -> Result<bool, TorchExtError> {
    let mut on = false;
    // SAFETY: the function writes one bool where it is told to, while the borrow lasts.
    checked("deterministic", unsafe { ffi::torch_ext_deterministic(&raw mut on) })?;
    Ok(on)
}
