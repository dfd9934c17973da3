//! Shared by the tests that need a GPU.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Device;

/// One test at a time uses the GPU: a recording breaks if another thread waits for the device. Products have the precision of
/// f32.
pub(crate) fn gpu() -> (MutexGuard<'static, ()>, Device) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    torch_ext::load_cuda_part().unwrap();
    assert!(tch::Cuda::is_available(), "there is no GPU");
    torch_ext::set_tf32(false).unwrap();
    (turn, Device::Cuda(0))
}
