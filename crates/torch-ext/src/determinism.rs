//! libtorch's settings for reproducible results.

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// With `true`, libtorch uses deterministic algorithms, and an operation that has none fails instead of giving results
/// that differ between runs; cuDNN does not choose algorithms by timing them. With `false`, libtorch's defaults are
/// restored.
///
/// The settings are libtorch's own and apply to the whole process. On the CPU, the operations that this project uses
/// are deterministic either way.
///
/// Call it at start, before a GPU is used and before other threads run: cuBLAS needs the environment variable
/// `CUBLAS_WORKSPACE_CONFIG`, which this sets to `:4096:8` unless the user has set it.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<(), TorchExtError> {
    // SAFETY: the function takes no pointers.
    checked("set_deterministic", unsafe { ffi::torch_ext_set_deterministic(on) })
}

/// Whether all these settings are on, by [`set_deterministic`] or otherwise.
///
/// # Errors
/// [`TorchExtError::Torch`] when libtorch refuses.
pub fn deterministic() -> Result<bool, TorchExtError> {
    let mut on = false;
    // SAFETY: the function writes one bool through the argument, while the borrow lasts.
    checked("deterministic", unsafe { ffi::torch_ext_deterministic(&raw mut on) })?;
    Ok(on)
}
