//! The state of libtorch's random number generators, which dropout uses: to draw the same numbers again.

use std::ptr;

use tch::{Device, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// The state of a device's default generator, `[n]` u8 in host memory: about 5 kB for the CPU and 16 B for a GPU.
///
/// # Errors
/// [`TorchExtError::UnknownDevice`] for devices other than CPU and CUDA; [`TorchExtError::Torch`] for a device that
/// does not exist.
pub fn generator_state(device: Device) -> Result<Tensor, TorchExtError> {
    const CALL: &str = "generator_state";
    let index = index(CALL, device)?;
    let mut out = ptr::null_mut();
    // SAFETY: one pointer is written through the argument, only if there is no error.
    checked(CALL, unsafe { ffi::torch_ext_generator_state(index, &raw mut out) })?;
    // SAFETY: without an error `out` is a new tensor with no other owner.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Restores a state from [`generator_state`] to a device's default generator, which then draws the same numbers again.
/// The generator is shared by the process, so draws of other threads in between change the sequence.
///
/// # Errors
/// Those of [`generator_state`]; [`TorchExtError::Undefined`] and [`TorchExtError::Torch`] for an invalid state, in
/// which case the generator is unchanged.
pub fn set_generator_state(device: Device, state: &Tensor) -> Result<(), TorchExtError> {
    const CALL: &str = "set_generator_state";
    let index = index(CALL, device)?;
    if !state.defined() {
        return Err(TorchExtError::Undefined { what: "the state" });
    }
    // SAFETY: the tensor is borrowed for the call; C++ checks type and size before it reads.
    checked(CALL, unsafe { ffi::torch_ext_set_generator_state(index, state.as_ptr()) })
}

/// -1 for the CPU.
pub(crate) fn index(call: &'static str, device: Device) -> Result<i32, TorchExtError> {
    let unknown = TorchExtError::UnknownDevice { call, got: device };
    match device {
        Device::Cpu => Ok(-1),
        // libtorch stores device indices as i8.
        Device::Cuda(index) => i8::try_from(index).map(i32::from).map_err(|_| unknown),
        _ => Err(unknown),
    }
}

/// Snapshots of the generators that operations on some tensors may use.
#[derive(Debug)]
pub struct Generators(Vec<(Device, Tensor)>);

impl Generators {
    /// The generators of the tensors' devices, and the CPU's.
    ///
    /// # Errors
    /// The errors of [`generator_state`].
    pub fn of(tensors: &[&Tensor]) -> Result<Self, TorchExtError> {
        let mut devices = vec![Device::Cpu];
        for tensor in tensors {
            let device = tensor.device();
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        Self::on(devices)
    }

    fn on(devices: impl IntoIterator<Item = Device>) -> Result<Self, TorchExtError> {
        devices
            .into_iter()
            .map(|device| Ok((device, generator_state(device)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Runs `body` from these states, then restores the generators to their present state in any case.
    ///
    /// # Errors
    /// The errors of [`set_generator_state`].
    pub fn replay<R>(&self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
        let _back = Back(Self::on(self.0.iter().map(|(device, _)| *device))?);
        self.restore()?;
        Ok(body())
    }

    fn restore(&self) -> Result<(), TorchExtError> {
        self.0.iter().try_for_each(|(device, state)| set_generator_state(*device, state))
    }
}

/// Restores on drop.
struct Back(Generators);

impl Drop for Back {
    fn drop(&mut self) {
        // States of these same generators are always accepted.
        let _ = self.0.restore();
    }
}
