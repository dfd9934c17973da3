//! Which GPU of the world a device is.

use std::ffi::c_int;

use libloading::Library;

use crate::error::TorchExtError;

/// The driver, which libtorch's CUDA part loads too.
const NAME: &str = "libcuda.so.1";

/// The number that NVIDIA gave to the GPU behind `Cuda(index)`, in hexadecimal digits: equal for two processes exactly if they use
/// the same GPU, whatever their `CUDA_VISIBLE_DEVICES`.
///
/// # Errors
/// [`TorchExtError::Library`] when there is no driver or no such device.
pub fn gpu_uuid(index: usize) -> Result<String, TorchExtError> {
    let wrong = |reason: String| TorchExtError::Library { name: NAME.to_owned(), reason };
    // SAFETY: the driver's initialisers do not touch this program's state; libtorch's CUDA part loads the same library.
    let driver = unsafe { Library::new(NAME) }.map_err(|e| wrong(e.to_string()))?;
    let bytes = uuid(&driver, index).map_err(wrong)?;
    // libtorch goes on using it.
    std::mem::forget(driver);
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn uuid(driver: &Library, index: usize) -> Result<[u8; 16], String> {
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
    let ordinal = c_int::try_from(index).map_err(|_| format!("no device {index}"))?;
    let found = |status: c_int, name: &str| match status {
        0 => Ok(()),
        other => Err(format!("{name} of device {index} returns {other}")),
    };
    // SAFETY: the driver has declared these functions like this since CUDA 9.2, and initialising it again does nothing. The
    // second and the third write through their first argument.
    unsafe {
        let init = driver.get::<Init>(b"cuInit\0").map_err(|e| e.to_string())?;
        let get = driver.get::<Get>(b"cuDeviceGet\0").map_err(|e| e.to_string())?;
        let uuid = driver.get::<Uuid>(b"cuDeviceGetUuid\0").map_err(|e| e.to_string())?;
        let (mut device, mut bytes) = (0, [0; 16]);
        found(init(0), "cuInit")?;
        found(get(&raw mut device, ordinal), "cuDeviceGet")?;
        found(uuid(&raw mut bytes, device), "cuDeviceGetUuid")?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        for index in [1000, usize::MAX] {
            let error = gpu_uuid(index).unwrap_err();
            assert!(matches!(error, TorchExtError::Library { .. }), "{error}");
        }
    }
}
