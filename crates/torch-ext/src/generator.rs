//! The state of libtorch's own random numbers, which dropout draws: to draw the same ones again.

use std::ptr;

use tch::{Device, Tensor};

use crate::error::{TorchExtError, checked};
use crate::ffi;

/// The state of a device's default generator, `[n]` u8 in the host's memory: some 5 kB for the CPU and 16 B for a GPU.
///
/// # Errors
/// [`TorchExtError::UnknownDevice`] for others than CPU and CUDA; [`TorchExtError::Torch`] for a device that is not
/// there.
pub fn generator_state(device: Device) -> Result<Tensor, TorchExtError> {
    const CALL: &str = "generator_state";
    let index = index(CALL, device)?;
    let mut out = ptr::null_mut();
    // SAFETY: one pointer is written where it is told to, when there is no error.
    checked(CALL, unsafe { ffi::torch_ext_generator_state(index, &raw mut out) })?;
    // SAFETY: without an error `out` is a new tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Puts a device's default generator back to a state of [`generator_state`]: it goes on with the numbers that it drew
/// from there on. The generator is the process's, so other threads that draw in between get others.
///
/// # Errors
/// Those of [`generator_state`]; [`TorchExtError::Undefined`] and [`TorchExtError::Torch`] for what is no state of that
/// generator, which then is as it was.
pub fn set_generator_state(device: Device, state: &Tensor) -> Result<(), TorchExtError> {
    const CALL: &str = "set_generator_state";
    let index = index(CALL, device)?;
    if !state.defined() {
        return Err(TorchExtError::Undefined { what: "the state" });
    }
    // SAFETY: the tensor is borrowed until the call is over; C++ checks type and size before it reads.
    checked(CALL, unsafe { ffi::torch_ext_set_generator_state(index, state.as_ptr()) })
}

/// -1 for the CPU.
pub(crate) fn index(call: &'static str, device: Device) -> Result<i32, TorchExtError> {
    let unknown = TorchExtError::UnknownDevice { call, got: device };
    match device {
        Device::Cpu => Ok(-1),
        // As many as libtorch has numbers for.
        Device::Cuda(index) => i8::try_from(index).map(i32::from).map_err(|_| unknown),
        _ => Err(unknown),
    }
}

/// The generators that work on some tensors may draw from, as they were at one time.
pub(crate) struct Generators(Vec<(Device, Tensor)>);

impl Generators {
    /// Those of the tensors' devices, and the CPU's.
    pub(crate) fn of(tensors: &[&Tensor]) -> Result<Self, TorchExtError> {
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

    /// Runs `body` from these states on, and puts the generators back to where they are now, whatever happens.
    pub(crate) fn replay<R>(&self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
        let _back = Back(Self::on(self.0.iter().map(|(device, _)| *device))?);
        self.restore()?;
        Ok(body())
    }

    fn restore(&self) -> Result<(), TorchExtError> {
        self.0.iter().try_for_each(|(device, state)| set_generator_state(*device, state))
    }
}

/// Restores at its end.
struct Back(Generators);

impl Drop for Back {
    fn drop(&mut self) {
        // States that came from these very generators are taken back.
        let _ = self.0.restore();
    }
}
